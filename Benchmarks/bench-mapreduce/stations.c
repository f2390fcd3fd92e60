// The billion-row format by hand: what the public API is measured against, and its data.
//
//   stations FILE                two threads count, sum, and find extremes; sorted lines to stdout
//   stations generate N FILE     N rows of 413 stations, the same for every N and machine
//   stations records N FILE      N lines of 100 bytes with random keys, like those of gensort
//   stations loopback serve N    prints a port, and writes N bytes to whoever connects to it
//   stations loopback pull PORT  reads them, and prints how many in what time
//
// What a good C programmer writes in an afternoon: the file mapped, a piece per thread, a small
// table with open addressing, memchr for the separator, no tricks that need the data's own shape.
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOTS (1 << 14)
#define THREADS 2

typedef struct {
  const char *name;
  uint32_t length;
  int32_t least, greatest;
  int64_t sum, count;
} station;

typedef struct {
  const char *from, *to;
  station slots[SLOTS];
} piece;

static station *find(station *slots, const char *name, size_t length) {
  uint64_t hash = 14695981039346656037ULL;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 1099511628211ULL;
  for (size_t at = hash >> 50;; at = (at + 1) % SLOTS) {
    station *s = &slots[at];
    if (s->name == NULL) {
      *s = (station){name, (uint32_t)length, INT32_MAX, INT32_MIN, 0, 0};
      return s;
    }
    if (s->length == length && memcmp(s->name, name, length) == 0) return s;
  }
}

static void *count(void *argument) {
  piece *p = argument;
  for (const char *at = p->from; at < p->to;) {
    const char *end = memchr(at, ';', (size_t)(p->to - at));
    if (end == NULL) break;
    station *s = find(p->slots, at, (size_t)(end - at));
    int negative = *++end == '-', value = 0;
    for (end += negative; *end != '\n'; end++) {
      if (*end != '.') value = value * 10 + (*end - '0');
    }
    if (negative) value = -value;
    if (value < s->least) s->least = value;
    if (value > s->greatest) s->greatest = value;
    s->sum += value;
    s->count++;
    at = end + 1;
  }
  return NULL;
}

static int by_name(const void *a, const void *b) {
  const station *x = a, *y = b;
  int difference = memcmp(x->name, y->name, x->length < y->length ? x->length : y->length);
  return difference != 0 ? difference : (int)x->length - (int)y->length;
}

static int aggregate(const char *path) {
  int file = open(path, O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) return 1;
  size_t size = (size_t)info.st_size;
  const char *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (text == MAP_FAILED) return 1;
  piece *pieces = calloc(THREADS, sizeof *pieces);
  pthread_t threads[THREADS];
  const char *from = text;
  for (int i = 0; i < THREADS; i++) {
    const char *to = text + size * (size_t)(i + 1) / THREADS;
    while (to < text + size && to[-1] != '\n') to++;
    pieces[i].from = from;
    pieces[i].to = from = to;
    pthread_create(&threads[i], NULL, count, &pieces[i]);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 1; i < THREADS; i++) {
    for (int at = 0; at < SLOTS; at++) {
      station *other = &pieces[i].slots[at];
      if (other->name == NULL) continue;
      station *s = find(pieces[0].slots, other->name, other->length);
      if (other->least < s->least) s->least = other->least;
      if (other->greatest > s->greatest) s->greatest = other->greatest;
      s->sum += other->sum;
      s->count += other->count;
    }
  }
  station *all = pieces[0].slots;
  int stations = 0;
  for (int at = 0; at < SLOTS; at++) if (all[at].name != NULL) all[stations++] = all[at];
  qsort(all, (size_t)stations, sizeof *all, by_name);
  for (int i = 0; i < stations; i++) {
    printf("%.*s\t%ld\t%ld\t%d\t%d\n", (int)all[i].length, all[i].name, (long)all[i].count,
      (long)all[i].sum, all[i].least, all[i].greatest);
  }
  return 0;
}

static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

static int generate(long rows, const char *path) {
  FILE *out = fopen(path, "w");
  if (out == NULL) return 1;
  setvbuf(out, NULL, _IOFBF, 1 << 20);
  uint64_t state = 1;
  static char names[413][32];
  for (int i = 0; i < 413; i++) {
    int length = 3 + (int)(next(&state) % 14);
    for (int c = 0; c < length; c++) names[i][c] = (char)('a' + next(&state) % 26);
    snprintf(names[i] + length, 8, "%d", i);
  }
  for (long row = 0; row < rows; row++) {
    uint64_t random = next(&state);
    int tenths = (int)(random % 1999) - 999;
    fprintf(out, "%s;%s%d.%d\n", names[(random >> 32) % 413], tenths < 0 ? "-" : "",
      abs(tenths) / 10, abs(tenths) % 10);
  }
  return fclose(out);
}

static int records(long rows, const char *path) {
  FILE *out = fopen(path, "w");
  if (out == NULL) return 1;
  setvbuf(out, NULL, _IOFBF, 1 << 20);
  uint64_t state = 2;
  char line[101];
  for (long row = 0; row < rows; row++) {
    for (int i = 0; i < 10; i++) line[i] = (char)(' ' + 1 + next(&state) % 94);
    snprintf(line + 10, 24, "  %020lX", (unsigned long)row);
    memset(line + 32, (int)('A' + row % 26), 67);
    line[99] = '\n';
    fwrite(line, 1, 100, out);
  }
  return fclose(out);
}

// What the loopback interface gives: one process writes 256 KiB at a time, another reads them.
static int loopback(const char *role, long number) {
  static char bytes[256 << 10];
  int one = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  if (strcmp(role, "serve") == 0) {
    if (bind(one, (struct sockaddr *)&address, size) != 0 || listen(one, 1) != 0) return 1;
    getsockname(one, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int to = accept(one, NULL, NULL);
    while (number > 0) {
      ssize_t sent = write(to, bytes, sizeof bytes);
      if (sent <= 0) return 1;
      number -= sent;
    }
    return 0;
  }
  address.sin_port = htons((uint16_t)number);
  if (connect(one, (struct sockaddr *)&address, size) != 0) return 1;
  struct timespec from, to;
  long total = 0;
  ssize_t got = read(one, bytes, sizeof bytes);
  clock_gettime(CLOCK_MONOTONIC, &from);
  while ((got = read(one, bytes, sizeof bytes)) > 0) total += got;
  clock_gettime(CLOCK_MONOTONIC, &to);
  double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
  printf("{\"bytes\":%ld,\"seconds\":%f}\n", total, seconds);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 4 && strcmp(arguments[1], "generate") == 0) {
    return generate(atol(arguments[2]), arguments[3]);
  }
  if (count == 4 && strcmp(arguments[1], "records") == 0) {
    return records(atol(arguments[2]), arguments[3]);
  }
  if (count == 4 && strcmp(arguments[1], "loopback") == 0) {
    return loopback(arguments[2], atol(arguments[3]));
  }
  if (count == 2) return aggregate(arguments[1]);
  fprintf(stderr, "usage: stations FILE | generate ROWS FILE | records ROWS FILE\n");
  return 64;
}
