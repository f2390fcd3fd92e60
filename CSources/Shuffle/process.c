// Worker processes: how they are started, and what ties them to their parent.
//
//   parent   fork ──────────────────── read error pipe ── end of file: it runs; errno: it does not
//   child        └─ die with parent ── own group ── stdio ── signals ── exec (closes the pipe)
//
// Not posix_spawn: it cannot ask for the parent's death signal, and a worker that asks by itself
// after exec may have been stopped before, and would then stay stopped for ever when its parent is
// killed. The request survives exec. Between fork and exec the child makes system calls only, since
// other threads of the parent may have held any lock.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CCycladesShuffle.h"

static void become_worker(
  pid_t parent, int errors, const char *program, char *const *arguments, char *const *environment) {
  // Asked first, and checked: the parent may have died before.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) goto failed;
  if (setpgid(0, 0) != 0) goto failed;
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) goto failed;
  if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) goto failed;
  if (nothing > STDERR_FILENO) close(nothing);
  // What the parent ignores or handles, its workers do not.
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) goto failed;
  execve(program, arguments, environment);
failed:;
  int number = errno == 0 ? ESRCH : errno;
  ssize_t ignored = write(errors, &number, sizeof number);
  (void)ignored;
  _exit(127);
}

int cyc_process_start(
  const char *program, char *const *arguments, char *const *environment, int32_t *process) {
  int errors[2], number = 0;
  if (pipe2(errors, O_CLOEXEC) != 0) return -errno;
  pid_t parent = getpid(), child = fork();
  if (child == 0) become_worker(parent, errors[1], program, arguments, environment);
  int failure = child < 0 ? errno : 0;
  close(errors[1]);
  if (child > 0) {
    ssize_t count;
    do count = read(errors[0], &number, sizeof number);
    while (count < 0 && errno == EINTR);
    if (count == sizeof number) {
      failure = number;
      while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    }
  }
  close(errors[0]);
  *process = child;
  return -failure;
}
