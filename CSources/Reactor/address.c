// Addresses: between names, numbers and what the socket calls take.

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "internal.h"

socklen_t cyc_address_store(const cyc_address *address, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (address->ipv6) {
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
  return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void cyc_address_load(const struct sockaddr_storage *in, cyc_address *out) {
  *out = (cyc_address){0};
  if (in->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)in;
    out->ipv6 = true;
    out->port = ntohs(six->sin6_port);
    out->scope = six->sin6_scope_id;
    memcpy(out->bytes, &six->sin6_addr, 16);
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
  char host[INET6_ADDRSTRLEN] = "?";
  inet_ntop(address->ipv6 ? AF_INET6 : AF_INET, address->bytes, host, sizeof host);
  snprintf(out, capacity, address->ipv6 ? "[%s]:%u" : "%s:%u", host, (unsigned)address->port);
}
