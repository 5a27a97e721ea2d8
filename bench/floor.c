/*
 * The floor: the least that a viewer can do with stock libraries.
 *
 *     floor --fd N
 *
 * N is a connected socket whose other end speaks the server's side of QEMU's
 * peer-to-peer D-Bus display. GDBus receives the listener's calls; the damage is
 * copied into one MIT-SHM segment, put by XShmPutImage, and the call is answered when
 * the X server has drawn it. No GL, no cursor, no input, no scaling, and only the pixel
 * format that QEMU allocates itself: x8r8g8b8, the X server's own. Errors end it.
 */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <X11/extensions/XShm.h>

#define CONSOLE "/org/qemu/Display1/Console_0"
#define LISTENER "/org/qemu/Display1/Listener"
#define BYTES_PER_PIXEL 4

static const char xml[] =
    "<node>"
    "<interface name='org.qemu.Display1.Listener'>"
    "<method name='Scanout'>"
    "<arg type='u'/><arg type='u'/><arg type='u'/><arg type='u'/><arg type='ay'/></method>"
    "<method name='Update'><arg type='i'/><arg type='i'/><arg type='i'/><arg type='i'/>"
    "<arg type='u'/><arg type='u'/><arg type='ay'/></method>"
    "<method name='Disable'/>"
    "<method name='MouseSet'><arg type='i'/><arg type='i'/><arg type='i'/></method>"
    "<method name='CursorDefine'>"
    "<arg type='i'/><arg type='i'/><arg type='i'/><arg type='i'/><arg type='ay'/></method>"
    "<property name='Interfaces' type='as' access='read'/>"
    "</interface>"
    "<interface name='org.qemu.Display1.Listener.Unix.Map'>"
    "<method name='ScanoutMap'><arg type='h'/><arg type='u'/><arg type='u'/>"
    "<arg type='u'/><arg type='u'/><arg type='u'/></method>"
    "<method name='UpdateMap'>"
    "<arg type='i'/><arg type='i'/><arg type='i'/><arg type='i'/></method>"
    "</interface>"
    "</node>";

/* The window, and the segment that it shares with the X server; same size. */
static Display *display;
static Window window;
static GC gc;
static XImage *image;
static XShmSegmentInfo segment;

/* The guest's frame buffer of the last ScanoutMap. */
static const char *map, *first_pixel;
static size_t map_length;
static unsigned map_stride;

static void close_window(void)
{
    XShmDetach(display, &segment);
    XSync(display, False);
    shmdt(segment.shmaddr);
    XDestroyImage(image);
    XFreeGC(display, gc);
    XDestroyWindow(display, window);
}

static void open_window(unsigned width, unsigned height)
{
    int screen = DefaultScreen(display);

    if (image && image->width == (int)width && image->height == (int)height)
        return;
    if (image)
        close_window();
    window = XCreateSimpleWindow(display, RootWindow(display, screen), 0, 0, width, height, 0,
                                 0, BlackPixel(display, screen));
    gc = XCreateGC(display, window, 0, NULL);
    image = XShmCreateImage(display, DefaultVisual(display, screen),
                            DefaultDepth(display, screen), ZPixmap, NULL, &segment, width,
                            height);
    if (!image || image->bits_per_pixel != 8 * BYTES_PER_PIXEL)
        g_error("the X server has no 32-bit images in shared memory");
    segment.shmid = shmget(IPC_PRIVATE, image->bytes_per_line * height, IPC_CREAT | 0600);
    segment.shmaddr = image->data = shmat(segment.shmid, NULL, 0);
    if (segment.shmid < 0 || segment.shmaddr == (void *)-1)
        g_error("no shared memory");
    segment.readOnly = False;
    XShmAttach(display, &segment);
    XSync(display, False);
    shmctl(segment.shmid, IPC_RMID, NULL);
    XMapWindow(display, window);
}

/* Show a rectangle; `source` is its first pixel. Returns when the X server has drawn it. */
static void put(int x, int y, int width, int height, const char *source, size_t stride)
{
    char *row = image->data + (size_t)y * image->bytes_per_line + (size_t)x * BYTES_PER_PIXEL;

    if (x < 0 || y < 0 || x + width > image->width || y + height > image->height)
        g_error("damage outside of the scanout");
    if (width == image->width && stride == (size_t)image->bytes_per_line)
        memcpy(row, source, stride * height);
    else
        for (int i = 0; i < height; i++, row += image->bytes_per_line, source += stride)
            memcpy(row, source, (size_t)width * BYTES_PER_PIXEL);
    XShmPutImage(display, window, gc, image, x, y, x, y, width, height, False);
    XSync(display, False);
}

static void scanout(GVariant *args)
{
    guint32 width, height, stride, format;
    GVariant *data;
    gsize size;

    g_variant_get(args, "(uuuu@ay)", &width, &height, &stride, &format, &data);
    open_window(width, height);
    put(0, 0, width, height, g_variant_get_fixed_array(data, &size, 1), stride);
    g_variant_unref(data);
}

static void update(GVariant *args)
{
    gint32 x, y, width, height;
    guint32 stride, format;
    GVariant *data;
    gsize size;

    g_variant_get(args, "(iiiiuu@ay)", &x, &y, &width, &height, &stride, &format, &data);
    put(x, y, width, height, g_variant_get_fixed_array(data, &size, 1), stride);
    g_variant_unref(data);
}

static void scanout_map(GVariant *args, GDBusMessage *message)
{
    guint32 offset, width, height, format;
    gint32 handle;
    int fd;

    g_variant_get(args, "(huuuuu)", &handle, &offset, &width, &height, &map_stride, &format);
    if (map)
        munmap((void *)map, map_length);
    map_length = offset + (size_t)map_stride * (height - 1) + (size_t)width * BYTES_PER_PIXEL;
    fd = g_unix_fd_list_get(g_dbus_message_get_unix_fd_list(message), handle, NULL);
    map = mmap(NULL, map_length, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        g_error("the frame buffer cannot be mapped");
    first_pixel = map + offset;
    open_window(width, height);
    put(0, 0, width, height, first_pixel, map_stride);
}

static void update_map(GVariant *args)
{
    gint32 x, y, width, height;

    g_variant_get(args, "(iiii)", &x, &y, &width, &height);
    put(x, y, width, height, first_pixel + (size_t)y * map_stride + (size_t)x * BYTES_PER_PIXEL,
        map_stride);
}

static void on_call(GDBusConnection *connection, const char *sender, const char *path,
                    const char *interface, const char *member, GVariant *args,
                    GDBusMethodInvocation *call, gpointer data)
{
    if (!strcmp(member, "UpdateMap"))
        update_map(args);
    else if (!strcmp(member, "Update"))
        update(args);
    else if (!strcmp(member, "Scanout"))
        scanout(args);
    else if (!strcmp(member, "ScanoutMap"))
        scanout_map(args, g_dbus_method_invocation_get_message(call));
    g_dbus_method_invocation_return_value(call, NULL);
}

static GVariant *on_get(GDBusConnection *connection, const char *sender, const char *path,
                        const char *interface, const char *property, GError **error,
                        gpointer data)
{
    static const char *const names[] = {"org.qemu.Display1.Listener.Unix.Map"};

    return g_variant_new_strv(names, G_N_ELEMENTS(names));
}

static void on_closed(GDBusConnection *connection, gboolean vanished, GError *error,
                      gpointer data)
{
    exit(0);
}

/* A connection on `fd`, as D-Bus client; takes the fd. Messages wait until it is started. */
static GDBusConnection *connect_fd(int fd)
{
    GError *error = NULL;
    GSocket *socket = g_socket_new_from_fd(fd, &error);
    GDBusConnection *connection;

    if (!socket)
        g_error("fd %d: %s", fd, error->message);
    connection = g_dbus_connection_new_sync(
        G_IO_STREAM(g_socket_connection_factory_create_connection(socket)), NULL,
        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
            G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
        NULL, NULL, &error);
    if (!connection)
        g_error("fd %d: %s", fd, error->message);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), NULL);
    return connection;
}

static void export(GDBusConnection *connection)
{
    static const GDBusInterfaceVTable table = {on_call, on_get, NULL, {0}};
    GDBusNodeInfo *node = g_dbus_node_info_new_for_xml(xml, NULL);

    for (GDBusInterfaceInfo **interface = node->interfaces; *interface; interface++)
        g_dbus_connection_register_object(connection, LISTENER, *interface, &table, NULL, NULL,
                                          NULL);
}

static void register_listener(GDBusConnection *connection, int fd)
{
    GUnixFDList *fds = g_unix_fd_list_new_from_array(&fd, 1);
    GError *error = NULL;

    g_dbus_connection_call_with_unix_fd_list_sync(
        connection, NULL, CONSOLE, "org.qemu.Display1.Console", "RegisterListener",
        g_variant_new("(h)", 0), NULL, G_DBUS_CALL_FLAGS_NONE, -1, fds, NULL, NULL, &error);
    if (error)
        g_error("RegisterListener: %s", error->message);
    g_object_unref(fds);
}

int main(int argc, char **argv)
{
    GDBusConnection *control, *listener;
    int pair[2];

    if (argc != 3 || strcmp(argv[1], "--fd"))
        g_error("usage: floor --fd N");
    display = XOpenDisplay(NULL);
    if (!display || !XShmQueryExtension(display))
        g_error("no X server with MIT-SHM");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        g_error("socketpair");
    control = connect_fd(atoi(argv[2]));
    g_dbus_connection_start_message_processing(control);
    register_listener(control, pair[0]);
    listener = connect_fd(pair[1]);
    export(listener);
    g_dbus_connection_start_message_processing(listener);
    g_main_loop_run(g_main_loop_new(NULL, FALSE));
    return 0;
}
