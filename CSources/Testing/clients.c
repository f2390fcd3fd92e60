// Clients by the thousand, in C and beside the process under test: so a debug build of the tests
// does not measure itself.

#include "CCycladesTesting.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOSTS = 100 };  // 127.0.0.1 and up: each has its own range of client ports

static int connect_to(uint16_t port, uint32_t i) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in name = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i % HOSTS)};
  if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

// Orderly ends and resets, with and without a byte on the way.
static void leave(int fd, uint32_t i) {
  if (i % 3 == 1) send(fd, "x", 1, MSG_NOSIGNAL);
  if (i % 4 == 3) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  }
  close(fd);
}

uint32_t cyc_testing_come_and_go(uint16_t port, uint32_t count) {
  uint32_t connected = 0;
  for (uint32_t i = 0; i < count; i++) {
    int fd = connect_to(port, i);
    if (fd < 0) continue;
    connected++;
    leave(fd, i);
  }
  return connected;
}

bool cyc_testing_raise_descriptor_limit(uint64_t limit) {
  struct rlimit now;
  if (getrlimit(RLIMIT_NOFILE, &now) != 0) return false;
  if (now.rlim_cur >= limit) return true;
  if (now.rlim_max < limit) return false;
  now.rlim_cur = limit;
  return setrlimit(RLIMIT_NOFILE, &now) == 0;
}

// After a fork of a process with threads only simple system calls are allowed, and made.
static void hold(uint16_t port, uint32_t count, int report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint32_t held = 0;
  if (cyc_testing_raise_descriptor_limit(count + 64)) {
    while (held < count && connect_to(port, held) >= 0) held++;
  }
  if (write(report, &held, sizeof held) != sizeof held) _exit(1);
  for (;;) pause();
}

int cyc_testing_hold(uint16_t port, uint32_t count, uint32_t *held) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  pid_t child = fork();
  if (child == 0) hold(port, count, ends[1]);
  close(ends[1]);
  bool told = child > 0 && read(ends[0], held, sizeof *held) == sizeof *held;
  close(ends[0]);
  return told ? (int)child : -1;
}

void cyc_testing_let_go(int child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}
