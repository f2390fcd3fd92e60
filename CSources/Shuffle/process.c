// A worker's bond to the process that started it.
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "CCycladesShuffle.h"

int cyc_process_follow(int32_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return -errno;
  // The parent may have died before the request was made; then nobody would tell.
  return getppid() == (pid_t)parent ? 0 : -ESRCH;
}
