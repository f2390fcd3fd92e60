// Addresses: between names, numbers and what the socket calls take.

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

#include "internal.h"

int cyc_address_family(const cyc_address *address) {
  switch (address->family) {
    case CYC_FAMILY_IPV4:
      return AF_INET;
    case CYC_FAMILY_IPV6:
      return AF_INET6;
    default:
      return AF_UNIX;
  }
}

static socklen_t store_path(const cyc_address *address, struct sockaddr_un *out) {
  static_assert(sizeof out->sun_path == CYC_PATH_BYTES, "a path fits");
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path, address->path, CYC_PATH_BYTES);
  return sizeof *out;
}

socklen_t cyc_address_store(const cyc_address *address, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (address->family == CYC_FAMILY_LOCAL) return store_path(address, (struct sockaddr_un *)out);
  if (address->family == CYC_FAMILY_IPV6) {
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address->port);
    six->sin6_scope_id = address->scope;
    memcpy(&six->sin6_addr, address->bytes, 16);
    return sizeof *six;
  }
  struct sockaddr_in *four = (struct sockaddr_in *)out;
  four->sin_family = AF_INET;
  four->sin_port = htons(address->port);
  memcpy(&four->sin_addr, address->bytes, 4);
  return sizeof *four;
}

socklen_t cyc_address_size(const struct sockaddr_storage *address) {
  switch (address->ss_family) {
    case AF_INET:
      return sizeof(struct sockaddr_in);
    case AF_INET6:
      return sizeof(struct sockaddr_in6);
    default:
      return sizeof(struct sockaddr_un);
  }
}

// `in` was zeroed before the kernel filled it, so that a socket without a name has an empty path.
void cyc_address_load(const struct sockaddr_storage *in, cyc_address *out) {
  *out = (cyc_address){0};
  if (in->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)in;
    out->family = CYC_FAMILY_IPV6;
    out->port = ntohs(six->sin6_port);
    out->scope = six->sin6_scope_id;
    memcpy(out->bytes, &six->sin6_addr, 16);
  } else if (in->ss_family == AF_UNIX) {
    const struct sockaddr_un *local = (const struct sockaddr_un *)in;
    out->family = CYC_FAMILY_LOCAL;
    memcpy(out->path, local->sun_path, CYC_PATH_BYTES - 1);
  } else {
    const struct sockaddr_in *four = (const struct sockaddr_in *)in;
    out->port = ntohs(four->sin_port);
    memcpy(out->bytes, &four->sin_addr, 4);
  }
}

int cyc_address_resolve(const char *host, uint16_t port, cyc_address *out) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  int code = getaddrinfo(host, NULL, &hints, &list);
  if (code != 0) return code;
  const struct addrinfo *chosen = NULL;
  for (const struct addrinfo *a = list; a; a = a->ai_next) {
    if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
    if (!chosen || (chosen->ai_family == AF_INET6 && a->ai_family == AF_INET)) chosen = a;
  }
  if (chosen) {
    struct sockaddr_storage storage = {0};
    memcpy(&storage, chosen->ai_addr, chosen->ai_addrlen);
    cyc_address_load(&storage, out);
    out->port = port;
  }
  freeaddrinfo(list);
  return chosen ? 0 : EAI_FAMILY;
}

void cyc_address_format(const cyc_address *address, char *out, size_t capacity) {
  if (address->family == CYC_FAMILY_LOCAL) {
    snprintf(out, capacity, "unix:%s", address->path);
    return;
  }
  bool is_six = address->family == CYC_FAMILY_IPV6;
  char host[INET6_ADDRSTRLEN] = "?";
  inet_ntop(is_six ? AF_INET6 : AF_INET, address->bytes, host, sizeof host);
  snprintf(out, capacity, is_six ? "[%s]:%u" : "%s:%u", host, (unsigned)address->port);
}
