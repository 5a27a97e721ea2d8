/* A driver that lies, crashes or hangs, below every binding.

   cc -shared -fPIC -O2 -o liar.so liar.c; LD_PRELOAD=liar.so LIE=WHAT program

   WHAT is one of the names in `tell` below. Programs find OpenGL through dlsym
   and eglGetProcAddress, so both hand out our functions in the place of the driver's. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NONE = 0x3038, LINUX_DMA_BUF = 0x3270, PLANE0_FD = 0x3272 };
enum { BAD_ALLOC = 0x3003, BAD_MATCH = 0x3009, EXTERNAL = 0x8D65, XR24 = 0x34325258 };
enum { SIZE = 64 * 64 * 4 }; /* of a picture of glview doctor's */

typedef void *(*find_t)(const char *);
typedef void *(*dlsym_t)(void *, const char *);
typedef void *(*image_t)(void *, void *, unsigned, void *, const int *);
typedef int (*error_t)(void);
typedef unsigned (*formats_t)(void *, int, int *, int *);
typedef unsigned (*modifiers_t)(void *, int, int, unsigned long *, unsigned *, int *);
typedef void (*texture_t)(unsigned, void *);
typedef void (*read_t)(int, int, int, int, unsigned, unsigned, unsigned char *);
typedef void (*upload_t)(unsigned, int, int, int, int, int, unsigned, unsigned, const void *);

static find_t their_find;
static image_t their_image;
static error_t their_error;
static formats_t their_formats;
static modifiers_t their_modifiers;
static texture_t their_texture;
static read_t their_read;
static upload_t their_upload;

static int tell(const char *what) {
    const char *lie = getenv("LIE");
    return lie && !strcmp(lie, what);
}

/* A file that is not the one asked for: empty, or a copy as of now. */
static int other_file(int fd) {
    static char pixels[SIZE];
    int other = memfd_create("liar", MFD_CLOEXEC);
    void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    memset(pixels, 0, SIZE);
    if (tell("import-copies") && map != MAP_FAILED) memcpy(pixels, map, SIZE);
    if (map != MAP_FAILED) munmap(map, SIZE);
    if (write(other, pixels, SIZE) != SIZE) abort();
    return other;
}

static int error; /* that is told next, if it is one of ours */

static int our_error(void) {
    int code = error;
    error = 0;
    return code ? code : their_error();
}

static unsigned our_formats(void *display, int most, int *formats, int *count) {
    unsigned done = their_formats(display, most, formats, count);
    int kept = 0;
    if (!done || !formats || !tell("few-formats")) return done;
    for (int i = 0; i < *count; i++)
        if (formats[i] == XR24) formats[kept++] = XR24;
    *count = kept;
    return done;
}

static unsigned our_modifiers(void *display, int format, int most, unsigned long *modifiers,
                              unsigned *external, int *count) {
    unsigned done = their_modifiers(display, format, most, modifiers, external, count);
    for (int i = 0; done && external && i < *count && tell("external-only"); i++) external[i] = 1;
    return done;
}

static void our_texture(unsigned target, void *image) {
    int refused = tell("texture-refused") || (tell("external-only") && target != EXTERNAL);
    their_texture(target, refused ? NULL : image);
}

static void *our_image(void *display, void *context, unsigned target, void *buffer,
                       const int *attributes) {
    int mine[64], i = 0;
    if (target != LINUX_DMA_BUF) return their_image(display, context, target, buffer, attributes);
    error = tell("import-bad-alloc") ? BAD_ALLOC : tell("import-bad-match") ? BAD_MATCH : 0;
    if (error) return NULL;
    if (tell("import-crashes")) raise(SIGSEGV);
    if (tell("import-hangs"))
        for (;;) pause();
    if (!tell("import-blackens") && !tell("import-copies"))
        return their_image(display, context, target, buffer, attributes);
    for (; i < 62 && attributes[i] != NONE; i += 2) {
        mine[i] = attributes[i];
        mine[i + 1] = attributes[i] == PLANE0_FD ? other_file(attributes[i + 1]) : attributes[i + 1];
    }
    mine[i] = NONE;
    return their_image(display, context, target, buffer, mine);
}

static void our_read(int x, int y, int w, int h, unsigned format, unsigned type,
                     unsigned char *pixels) {
    their_read(x, y, w, h, format, type, pixels);
    if (tell("read-swaps"))
        for (int i = 0; i < w * h * 4; i += 4) {
            unsigned char red = pixels[i];
            pixels[i] = pixels[i + 2];
            pixels[i + 2] = red;
        }
}

static void our_upload(unsigned a, int b, int c, int d, int e, int f, unsigned g, unsigned h,
                       const void *i) {
    if (tell("upload-crashes")) raise(SIGSEGV);
    their_upload(a, b, c, d, e, f, g, h, i);
}

static void *instead(const char *name, void *found) {
    if (!found || !name) return found;
    if (!strcmp(name, "eglCreateImageKHR")) return their_image = (image_t)found, (void *)our_image;
    if (!strcmp(name, "eglGetError")) return their_error = (error_t)found, (void *)our_error;
    if (!strcmp(name, "eglQueryDmaBufFormatsEXT"))
        return their_formats = (formats_t)found, (void *)our_formats;
    if (!strcmp(name, "eglQueryDmaBufModifiersEXT"))
        return their_modifiers = (modifiers_t)found, (void *)our_modifiers;
    if (!strcmp(name, "glEGLImageTargetTexture2DOES"))
        return their_texture = (texture_t)found, (void *)our_texture;
    if (!strcmp(name, "glReadPixels")) return their_read = (read_t)found, (void *)our_read;
    if (!strcmp(name, "glTexSubImage2D")) return their_upload = (upload_t)found, (void *)our_upload;
    return found;
}

static void *our_find(const char *name) { return instead(name, their_find(name)); }

/* The C library's own, by the version that the oldest of a machine's has. */
void *dlsym(void *handle, const char *name) {
    static dlsym_t theirs;
    if (!theirs) theirs = (dlsym_t)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!theirs) theirs = (dlsym_t)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
    if (!theirs) abort();
    void *found = theirs(handle, name);
    if (!found || strcmp(name, "eglGetProcAddress"))
        return found && !strcmp(name, "eglGetError") ? instead(name, found) : found;
    their_find = (find_t)found;
    return (void *)our_find;
}
