// Sockets as the kernel makes them: how they are opened, named and ended. What moves bytes through
// them is the driver's; a driver without a kernel brings these calls with it (driver.h).

#include "driver.h"

#include <netinet/tcp.h>

enum { KEEPALIVE_PROBES = 3 };

// A peer that vanished while idle is probed three times, in as long as it was idle before.
static void keep_alive(int fd, uint32_t idle_s) {
  uint32_t on = 1, interval = (idle_s + KEEPALIVE_PROBES - 1) / KEEPALIVE_PROBES;
  uint32_t probes = KEEPALIVE_PROBES;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

// Accepted sockets inherit these from their listener.
static void set_options(const cyc_reactor *r, int fd) {
  int on = 1;
  uint32_t unacknowledged = r->options.unacknowledged_ms;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
  if (r->options.keepalive_s > 0) keep_alive(fd, r->options.keepalive_s);
  uint32_t output = r->options.socket_send_buffer, input = r->options.socket_receive_buffer;
  if (output > 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &output, sizeof output);
  if (input > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &input, sizeof input);
}

static int open_socket(cyc_reactor *r, const cyc_address *address) {
  int fd = socket(cyc_address_family(address), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  set_options(r, fd);
  return fd;
}

// ------------------------------------------------------------------------------------- listening

// A Unix socket leaves its name behind when its process is killed. It is free when nobody answers.
static void remove_stale_name(const cyc_address *address) {
  if (address->family != CYC_FAMILY_LOCAL) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  struct sockaddr_storage storage;
  socklen_t size = cyc_address_store(address, &storage);
  bool is_stale = connect(fd, (struct sockaddr *)&storage, size) != 0 && errno == ECONNREFUSED;
  close(fd);
  if (is_stale) unlink(address->path);
}

static void remove_name(int fd) {
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  cyc_address address;
  if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) return;
  cyc_address_load(&storage, &address);
  if (address.family == CYC_FAMILY_LOCAL && address.path[0]) unlink(address.path);
}

// Listeners share a port when all have SO_REUSEPORT, of whatever server they are. So the first one
// gets it only after it was bound without: that is refused when anybody listens there.
static int bind_socket(int fd, const cyc_listen_options *o) {
  struct sockaddr_storage storage;
  socklen_t size = cyc_address_store(&o->address, &storage);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (o->sharing == CYC_SHARING_JOINED) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&storage, size) != 0) return -errno;
  if (o->sharing == CYC_SHARING_FIRST) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  return listen(fd, o->backlog) == 0 ? 0 : -errno;
}

static int open_listening(cyc_reactor *r, const cyc_listen_options *o, cyc_address *bound) {
  remove_stale_name(&o->address);
  int fd = socket(cyc_address_family(&o->address), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  set_options(r, fd);
  int result = bind_socket(fd, o);
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  if (result == 0 && getsockname(fd, (struct sockaddr *)&storage, &size) != 0) result = -errno;
  if (result < 0) {
    close(fd);
    return result;
  }
  cyc_address_load(&storage, bound);
  return fd;
}

static void close_listening(cyc_reactor *r, int fd) {
  (void)r;
  remove_name(fd);
  close(fd);
}

// ------------------------------------------------------------------------------------- connected

// TCP lets a socket connect to itself when it draws, as its own, the very port it connects to: a
// client that keeps trying a dead server on this machine would one day talk to itself.
static bool is_connected_to_itself(const cyc_reactor *r, int fd) {
  (void)r;
  struct sockaddr_storage own = {0}, peer = {0};
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0) return false;
  if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0) return false;
  return own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

static bool peer_of(const cyc_reactor *r, int fd, cyc_address *out) {
  (void)r;
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  if (getpeername(fd, (struct sockaddr *)&storage, &size) != 0) return false;
  cyc_address_load(&storage, out);
  return true;
}

static void shut_down(cyc_reactor *r, int fd, int how) {
  (void)r;
  shutdown(fd, how);
}

static void close_socket(cyc_reactor *r, int fd) {
  (void)r;
  close(fd);
}

const cyc_socket_calls cyc_kernel_sockets = {
    .open = open_socket,
    .listen = open_listening,
    .close_listening = close_listening,
    .is_connected_to_itself = is_connected_to_itself,
    .peer = peer_of,
    .shut_down = shut_down,
    .close = close_socket,
};
