/* The guest of scripts/guest: the first and only process of a Linux, which loads the
 * modules that /modules lists, sets the mode that the first GPU prefers, and flips
 * between three buffers through KMS. Frame `n` is the picture of picture.py. The
 * kernel's command line says for how many seconds it rests at frame 0 (rest=SECONDS),
 * and how often it flips then (flips=N); it stays at the last one.
 *
 * The kernel's ioctls are all it needs: no library, no files but these two.
 */
#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 3
#define DIGITS 6
#define DOT 8 /* pixels, of which the dots of digits are squares */
#define BOX_WIDTH (DOT * (4 * DIGITS + 1))
#define BOX_HEIGHT (DOT * 7)
#define BAND 16 /* width of the band that moves with the frames */

struct buffer {
    uint32_t id, stride, frame; /* stride in pixels; which frame is in it */
    uint32_t *pixels;
};

static int width, height;

static void die(const char *what)
{
    printf("guest failed: %s: %s\n", what, strerror(errno));
    for (;;)
        pause();
}

static void control(int card, unsigned long request, void *argument, const char *what)
{
    if (ioctl(card, request, argument))
        die(what);
}

/* Lines of /modules: a file name, a space, its parameters. */
static void load_modules(void)
{
    char line[256];
    FILE *list = fopen("/modules", "r");
    if (!list)
        die("/modules");
    while (fgets(line, sizeof line, list)) {
        char *parameters = strchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        *parameters++ = 0;
        int file = open(line, O_RDONLY);
        if (file < 0 || syscall(SYS_finit_module, file, parameters, 0))
            die(line);
        close(file);
    }
    fclose(list);
}

/* Which of the places for a band, from the left, it has in frame `n`. */
static int band(uint32_t n)
{
    return n % (width / BAND);
}

/* Whether the number has a white dot there: digits of 3 x 5 dots, in cells of 4 x 7. */
static int dot(uint32_t n, int x, int y)
{
    static const uint32_t digits[] = {0x75557, 0x26227, 0x71747, 0x71717, 0x55711,
                                      0x74717, 0x74757, 0x71111, 0x75757, 0x75717};
    int column = x / DOT - 1, row = y / DOT - 1;
    if (column < 0 || row < 0 || row > 4)
        return 0;
    for (int place = column / 4; place < DIGITS - 1; place++)
        n /= 10;
    return (digits[n % 10] >> 4 * (4 - row) & 7) << 1 >> (3 - column % 4) & 1;
}

static uint32_t pixel(uint32_t n, int x, int y)
{
    if (x < BOX_WIDTH && y < BOX_HEIGHT)
        return dot(n, x, y) ? 0xffffff : 0;
    if (x / BAND == band(n))
        return n * 2654435761u >> 8;
    return (uint32_t)(x * 255 / width) << 16 | (uint32_t)(y * 255 / height) << 8 | ((x ^ y) & 255);
}

static void draw(struct buffer *buffer, uint32_t n, int left, int right, int bottom)
{
    for (int y = 0; y < bottom; y++)
        for (int x = left; x < right; x++)
            buffer->pixels[y * buffer->stride + x] = pixel(n, x, y);
}

/* Make frame `n` of an older one: where its band was, where it is now, the number. */
static void advance(struct buffer *buffer, uint32_t n)
{
    int bands[] = {band(buffer->frame), band(n)};
    for (int i = 0; i < 2; i++)
        draw(buffer, n, bands[i] * BAND, bands[i] * BAND + BAND, height);
    draw(buffer, n, 0, BOX_WIDTH, BOX_HEIGHT);
    buffer->frame = n;
}

/* A buffer with frame 0 in it, known to the card as a frame buffer. */
static struct buffer make_buffer(int card)
{
    struct drm_mode_create_dumb dumb = {.width = width, .height = height, .bpp = 32};
    control(card, DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "CREATE_DUMB");
    struct drm_mode_map_dumb map = {.handle = dumb.handle};
    control(card, DRM_IOCTL_MODE_MAP_DUMB, &map, "MAP_DUMB");
    struct drm_mode_fb_cmd2 frame = {.width = width, .height = height,
                                     .pixel_format = DRM_FORMAT_XRGB8888,
                                     .handles = {dumb.handle}, .pitches = {dumb.pitch}};
    control(card, DRM_IOCTL_MODE_ADDFB2, &frame, "ADDFB2");
    struct buffer made = {.id = frame.fb_id, .stride = dumb.pitch / 4};
    made.pixels = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, map.offset);
    if (made.pixels == MAP_FAILED)
        die("mmap");
    draw(&made, 0, 0, width, height);
    return made;
}

/* The first connector, its preferred mode, and a CRTC: what SETCRTC wants but the buffer. */
static struct drm_mode_crtc choose(int card, uint32_t *connector)
{
    static struct drm_mode_modeinfo modes[128];
    uint32_t crtcs[16], connectors[16];
    struct drm_mode_card_res all = {.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 16,
                                    .connector_id_ptr = (uintptr_t)connectors,
                                    .count_connectors = 16};
    control(card, DRM_IOCTL_MODE_GETRESOURCES, &all, "GETRESOURCES");
    struct drm_mode_get_connector known = {.connector_id = connectors[0]};
    control(card, DRM_IOCTL_MODE_GETCONNECTOR, &known, "GETCONNECTOR"); /* probes, counts */
    known = (struct drm_mode_get_connector){.connector_id = connectors[0],
                                            .modes_ptr = (uintptr_t)modes,
                                            .count_modes = 128};
    control(card, DRM_IOCTL_MODE_GETCONNECTOR, &known, "GETCONNECTOR");
    if (!known.count_modes)
        die("no mode");
    *connector = connectors[0];
    return (struct drm_mode_crtc){.crtc_id = crtcs[0], .mode = modes[0], .mode_valid = 1,
                                  .set_connectors_ptr = (uintptr_t)connector,
                                  .count_connectors = 1};
}

/* Show a buffer, and wait until it is shown. */
static void flip(int card, uint32_t crtc, uint32_t frame)
{
    struct drm_event_vblank event;
    struct drm_mode_crtc_page_flip wanted = {.crtc_id = crtc, .fb_id = frame,
                                             .flags = DRM_MODE_PAGE_FLIP_EVENT};
    control(card, DRM_IOCTL_MODE_PAGE_FLIP, &wanted, "PAGE_FLIP");
    if (read(card, &event, sizeof event) != sizeof event)
        die("no event");
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(void)
{
    struct buffer buffers[BUFFERS];
    uint32_t connector, flips = atoi(getenv("flips"));
    setvbuf(stdout, NULL, _IOLBF, 0);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    int card = open("/dev/dri/card0", O_RDWR);
    if (card < 0)
        die("/dev/dri/card0");
    struct drm_mode_crtc crtc = choose(card, &connector);
    width = crtc.mode.hdisplay;
    height = crtc.mode.vdisplay;
    for (int i = 0; i < BUFFERS; i++)
        buffers[i] = make_buffer(card);
    crtc.fb_id = buffers[0].id;
    control(card, DRM_IOCTL_MODE_SETCRTC, &crtc, "SETCRTC");
    printf("guest: mode %d %d\n", width, height);
    sleep(atoi(getenv("rest")));
    double begin = now();
    for (uint32_t n = 1; n <= flips; n++) {
        advance(&buffers[n % BUFFERS], n);
        flip(card, crtc.crtc_id, buffers[n % BUFFERS].id);
    }
    printf("guest: flips %u seconds %.3f\n", flips, now() - begin);
    for (;;)
        pause();
}
