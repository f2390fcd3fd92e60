// A seccomp filter like the one that containers run under: it looks at the number of a system call
// and answers some with an error before the kernel sees them.

#include "CCycladesTesting.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// Goes on to the instruction `skip` behind the next when it is this system call, and that is to be
// refused.
static struct sock_filter jump(bool is_refused, uint32_t number, uint8_t skip) {
  uint32_t value = is_refused ? number : UINT32_MAX;
  return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, skip, 0);
}

int cyc_testing_refuse_uring(unsigned calls, int error) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      jump(calls & CYC_REFUSE_SETUP, SYS_io_uring_setup, 3),
      jump(calls & CYC_REFUSE_ENTER, SYS_io_uring_enter, 2),
      jump(calls & CYC_REFUSE_REGISTER, SYS_io_uring_register, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
  // Through the system call, since prctl would filter only the calling thread.
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  return result == 0 ? 0 : result < 0 ? -errno : -EBUSY;
}
