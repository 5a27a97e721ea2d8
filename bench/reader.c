/*
 * The least that can receive QEMU's calls: a poll loop that reads whole D-Bus messages
 * into one buffer, and answers those that want an answer.
 *
 *     reader FD
 *
 * FD is a connected socket, authenticated already or never; little-endian messages only.
 */
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NO_REPLY_EXPECTED 1
#define FIXED 16 /* bytes of a header before its fields */

static unsigned char buffer[64 << 20];

static uint32_t number(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static size_t message_size(void)
{
    return FIXED + (((size_t)number(buffer + 12) + 7) & ~(size_t)7) + number(buffer + 4);
}

/* A METHOD_RETURN without arguments, whose only field is REPLY_SERIAL. */
static void answer(int fd, uint32_t serial)
{
    static unsigned char reply[] = {'l', 2, NO_REPLY_EXPECTED, 1, 0, 0, 0, 0, 1, 0, 0, 0,
                                    8,   0, 0, 0, 5, 1, 'u', 0, 0, 0, 0, 0};

    memcpy(reply + 20, &serial, sizeof serial);
    if (send(fd, reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply)
        exit(1);
}

int main(int argc, char **argv)
{
    struct pollfd wait = {argc == 2 ? atoi(argv[1]) : -1, POLLIN, 0};
    size_t have = 0, size;

    for (;;) {
        while (have < FIXED || have < message_size()) {
            ssize_t got = recv(wait.fd, buffer + have, sizeof buffer - have, MSG_DONTWAIT);

            if (got == 0)
                return 0;
            if (got > 0)
                have += (size_t)got;
            else
                poll(&wait, 1, -1);
        }
        if (!(buffer[2] & NO_REPLY_EXPECTED))
            answer(wait.fd, number(buffer + 8));
        size = message_size();
        have -= size;
        memmove(buffer, buffer + size, have);
    }
}
