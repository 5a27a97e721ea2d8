/* Counts what copies pixels into OpenGL, what makes and deletes its objects, and what
   waits for it, below every binding.

   cc -shared -fPIC -O2 -o glcount.so glcount.c; LD_PRELOAD=glcount.so GLCOUNT=FILE program

   FILE is made and mapped: for each function a record of 40 bytes of name and
   a 64-bit count of its calls, in the machine's byte order.

   Programs find OpenGL through dlsym and eglGetProcAddress, so both hand out
   our functions in the place of the driver's. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *(*find_t)(const char *);
typedef void *(*dlsym_t)(void *, const char *);

struct record {
    char name[40];
    uint64_t calls;
};

struct entry {
    const char *name;
    void *ours;
    void *theirs;
};

static struct entry entries[];
static struct record *records;

#define E unsigned
#define I int
#define P const void *
#define Z intptr_t

/* NAME(index, result, name, parameters, arguments) */
#define FUNCTIONS(F) \
    F(0, void, glTexImage1D, (E a, I b, I c, I d, I e, E f, E g, P h), (a, b, c, d, e, f, g, h)) \
    F(1, void, glTexImage2D, (E a, I b, I c, I d, I e, I f, E g, E h, P i), \
      (a, b, c, d, e, f, g, h, i)) \
    F(2, void, glTexImage3D, (E a, I b, I c, I d, I e, I f, I g, E h, E i, P j), \
      (a, b, c, d, e, f, g, h, i, j)) \
    F(3, void, glTexSubImage1D, (E a, I b, I c, I d, E e, E f, P g), (a, b, c, d, e, f, g)) \
    F(4, void, glTexSubImage2D, (E a, I b, I c, I d, I e, I f, E g, E h, P i), \
      (a, b, c, d, e, f, g, h, i)) \
    F(5, void, glTexSubImage3D, (E a, I b, I c, I d, I e, I f, I g, I h, E i, E j, P k), \
      (a, b, c, d, e, f, g, h, i, j, k)) \
    F(6, void, glCompressedTexImage2D, (E a, I b, E c, I d, I e, I f, I g, P h), \
      (a, b, c, d, e, f, g, h)) \
    F(7, void, glCompressedTexSubImage2D, (E a, I b, I c, I d, I e, I f, E g, I h, P i), \
      (a, b, c, d, e, f, g, h, i)) \
    F(8, void, glTextureSubImage2D, (E a, I b, I c, I d, I e, I f, E g, E h, P i), \
      (a, b, c, d, e, f, g, h, i)) \
    F(9, void, glCopyTexImage2D, (E a, I b, E c, I d, I e, I f, I g, I h), \
      (a, b, c, d, e, f, g, h)) \
    F(10, void, glCopyTexSubImage2D, (E a, I b, I c, I d, I e, I f, I g, I h), \
      (a, b, c, d, e, f, g, h)) \
    F(11, void, glBufferData, (E a, Z b, P c, E d), (a, b, c, d)) \
    F(12, void, glBufferSubData, (E a, Z b, Z c, P d), (a, b, c, d)) \
    F(13, void, glNamedBufferData, (E a, Z b, P c, E d), (a, b, c, d)) \
    F(14, void, glNamedBufferSubData, (E a, Z b, Z c, P d), (a, b, c, d)) \
    F(15, void, glBufferStorage, (E a, Z b, P c, E d), (a, b, c, d)) \
    F(16, void *, glMapBuffer, (E a, E b), (a, b)) \
    F(17, void *, glMapBufferOES, (E a, E b), (a, b)) \
    F(18, void *, glMapBufferRange, (E a, Z b, Z c, E d), (a, b, c, d)) \
    F(19, void *, glMapNamedBuffer, (E a, E b), (a, b)) \
    F(20, void *, glMapNamedBufferRange, (E a, Z b, Z c, E d), (a, b, c, d)) \
    F(21, void, glDrawPixels, (I a, I b, E c, E d, P e), (a, b, c, d, e)) \
    F(22, void *, eglCreateImageKHR, (P a, P b, E c, P d, P e), (a, b, c, d, e)) \
    F(23, E, eglDestroyImageKHR, (P a, P b), (a, b)) \
    F(24, void, glGenTextures, (I a, P b), (a, b)) \
    F(25, void, glDeleteTextures, (I a, P b), (a, b)) \
    F(26, I, eglDupNativeFenceFDANDROID, (P a, P b), (a, b)) \
    F(27, I, eglClientWaitSyncKHR, (P a, P b, I c, uint64_t d), (a, b, c, d)) \
    F(28, void, glEGLImageTargetTexture2DOES, (E a, P b), (a, b)) \
    F(29, E, eglSwapBuffers, (P a, P b), (a, b)) \
    F(30, E, eglSwapBuffersWithDamageKHR, (P a, P b, P c, I d), (a, b, c, d)) \
    F(31, E, eglSwapBuffersWithDamageEXT, (P a, P b, P c, I d), (a, b, c, d))

#define DEFINE(i, result, name, parameters, arguments) \
    static result our_##name parameters { \
        if (records) __atomic_fetch_add(&records[i].calls, 1, __ATOMIC_RELAXED); \
        return ((result(*) parameters)entries[i].theirs)arguments; \
    }
#define ENTRY(i, result, name, parameters, arguments) {#name, our_##name, NULL},

FUNCTIONS(DEFINE)

/* Of this one not the calls are counted, but the refreshes that they ask for. */
enum { INTERVAL = 32 };
static E our_eglSwapInterval(P a, I b) {
    if (records) __atomic_fetch_add(&records[INTERVAL].calls, b, __ATOMIC_RELAXED);
    return ((E(*)(P, I))entries[INTERVAL].theirs)(a, b);
}

static struct entry entries[] = {FUNCTIONS(ENTRY){"eglSwapInterval", our_eglSwapInterval, NULL}};
enum { COUNT = sizeof entries / sizeof entries[0] };

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("GLCOUNT");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0) return;
    size_t size = COUNT * sizeof *records;
    void *map = ftruncate(fd, size) ? MAP_FAILED
                                    : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return;
    records = map;
    for (int i = 0; i < COUNT; i++) strcpy(records[i].name, entries[i].name);
}

/* Ours in the place of a function that is counted, else what was found. */
static void *instead(const char *name, void *found) {
    if (!found || !name) return found;
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(name, entries[i].name) && found != entries[i].ours) {
            entries[i].theirs = found;
            return entries[i].ours;
        }
    return found;
}

static find_t their_find;

static void *our_find(const char *name) { return instead(name, their_find(name)); }

/* The C library's own, by the version that the oldest of a machine's has. */
static void *their_dlsym(void *handle, const char *name) {
    static dlsym_t found;
    if (!found) found = (dlsym_t)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!found) found = (dlsym_t)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
    if (!found) abort();
    return found(handle, name);
}

void *dlsym(void *handle, const char *name) {
    void *found = their_dlsym(handle, name);
    if (!found || strcmp(name, "eglGetProcAddress")) return instead(name, found);
    their_find = (find_t)found;
    return (void *)our_find;
}

/* For programs that are linked with libEGL. */
void *eglGetProcAddress(const char *name) {
    if (!their_find) their_find = (find_t)their_dlsym(RTLD_NEXT, "eglGetProcAddress");
    return their_find ? our_find(name) : NULL;
}
