/*
 * The floor of `./dev bench fanout`, not a product: the least a single-threaded server can do to
 * bring a Redis publication to WebSocket subscribers.  One process, one epoll, one ready frame per
 * publication and one send() of it per subscriber.  What a hub costs beyond this is the price of
 * being a hub, and that ratio is what the benchmark reports.
 *
 *     epoll_reference REDIS_PORT CHANNEL [PORT]      prints "port N" once it listens
 *
 * The event takes the same way as through the hub (PUBLISH wh:ch:CHANNEL), and connect and
 * subscribe of the JSON protocol are answered just well enough that the same generator drives both.
 * There is no authentication, no ping and no queue: a subscriber whose socket is full is dropped.
 * It trusts its peers and must never face anything but the generator.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 1 << 20, INPUT_MAX = 4096, REDIS_BUFFER = 1 << 20, EVENTS = 512 };

enum state { STATE_FREE, STATE_HTTP, STATE_OPEN };

/* Indexed by file descriptor.  `input` exists only while a request or frame is incomplete. */
struct client {
    char *input;
    uint16_t used;
    uint8_t state;
    int place; /* in `subscribers`, -1 when not subscribed */
};

static struct client clients[FDS_MAX];
static int subscribers[FDS_MAX];
static int subscriber_count;
static int epoll_fd;
static const char *channel;
static char redis_input[REDIS_BUFFER];
static size_t redis_used;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void drop(int fd)
{
    struct client *client = &clients[fd];
    if (client->place >= 0) {
        int last = subscribers[--subscriber_count];
        subscribers[client->place] = last;
        clients[last].place = client->place;
    }
    free(client->input);
    *client = (struct client){.place = -1};
    close(fd);
}

/* Writes the header of an unmasked final frame and returns its length. */
static size_t frame_header(unsigned char header[10], unsigned char opcode, size_t length)
{
    header[0] = 0x80 | opcode;
    if (length < 126) {
        header[1] = (unsigned char)length;
        return 2;
    }
    size_t bytes = length < 65536 ? 2 : 8;
    header[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        header[2 + i] = (unsigned char)(length >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}

static bool send_whole(int fd, const void *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

/* RFC 6455 section 4.2.2: the accept key is base64(SHA-1(key + GUID)). */
static bool upgrade(int fd, const char *request)
{
    char reply[256];
    char text[128];
    unsigned char digest[EVP_MAX_MD_SIZE];
    char accept[64];
    size_t digest_length = 0;
    const char *key = strcasestr(request, "\r\nSec-WebSocket-Key:");
    if (key == NULL) {
        return false;
    }
    key += strlen("\r\nSec-WebSocket-Key:");
    key += strspn(key, " ");
    int length = snprintf(text, sizeof(text), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                          (int)strcspn(key, " \r"), key);
    if (length >= (int)sizeof(text) ||
        EVP_Q_digest(NULL, "SHA1", NULL, text, (size_t)length, digest, &digest_length) != 1) {
        return false;
    }
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_length);
    length = snprintf(reply, sizeof(reply),
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                      accept);
    return send_whole(fd, reply, (size_t)length);
}

static bool answer(int fd, const char *reply)
{
    unsigned char frame[256];
    size_t length = strlen(reply);
    size_t header = frame_header(frame, 1, length);
    memcpy(frame + header, reply, length);
    return send_whole(fd, frame, header + length);
}

/* Commands are told apart by name only; anything unknown is passed over. */
static bool run_command(int fd, const char *command)
{
    char reply[128];
    const char *id = strstr(command, "\"id\":");
    unsigned long number = id != NULL ? strtoul(id + 5, NULL, 10) : 0;
    if (strstr(command, "\"connect\"") != NULL) {
        snprintf(reply, sizeof(reply),
                 "{\"id\":%lu,\"connect\":{\"client\":\"reference\",\"version\":\"0\"}}", number);
        return answer(fd, reply);
    }
    if (strstr(command, "\"subscribe\"") != NULL) {
        if (clients[fd].place < 0) {
            clients[fd].place = subscriber_count;
            subscribers[subscriber_count++] = fd;
        }
        snprintf(reply, sizeof(reply), "{\"id\":%lu,\"subscribe\":{}}", number);
        return answer(fd, reply);
    }
    return true;
}

/* Consumes one masked frame of a client; 0 = incomplete, -1 = close.  Commands are short. */
static ssize_t run_frame(int fd, unsigned char *bytes, size_t available)
{
    if (available < 6) {
        return 0;
    }
    size_t header = (bytes[1] & 0x7f) == 126 ? 8 : 6;
    if (available < header || (bytes[1] & 0x7f) == 127) {
        return (bytes[1] & 0x7f) == 127 ? -1 : 0;
    }
    size_t length = header == 8 ? (size_t)(bytes[2] << 8 | bytes[3]) : bytes[1] & 0x7fU;
    if (available < header + length) {
        return 0;
    }
    char text[INPUT_MAX + 1];
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)(bytes[header + i] ^ bytes[header - 4 + i % 4]);
    }
    text[length] = '\0';
    if ((bytes[0] & 0x0f) == 8) {
        return -1;
    }
    char *saved = NULL;
    for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
        if (!run_command(fd, line)) {
            return -1;
        }
    }
    return (ssize_t)(header + length);
}

/* Everything complete in `input` is consumed; false = close. */
static bool run_input(int fd, struct client *client)
{
    size_t done = 0;
    if (client->state == STATE_HTTP) {
        client->input[client->used] = '\0';
        char *end = strstr(client->input, "\r\n\r\n");
        if (end == NULL) {
            return client->used < INPUT_MAX;
        }
        done = (size_t)(end + 4 - client->input);
        if (!upgrade(fd, client->input)) {
            return false;
        }
        client->state = STATE_OPEN;
    }
    while (done < client->used) {
        ssize_t step = run_frame(fd, (unsigned char *)client->input + done, client->used - done);
        if (step < 0) {
            return false;
        }
        if (step == 0) {
            break;
        }
        done += (size_t)step;
    }
    client->used = (uint16_t)(client->used - done);
    memmove(client->input, client->input + done, client->used);
    return client->used < INPUT_MAX;
}

static void on_client(int fd)
{
    struct client *client = &clients[fd];
    if (client->input == NULL && (client->input = malloc(INPUT_MAX + 1)) == NULL) {
        die("malloc");
    }
    ssize_t got = recv(fd, client->input + client->used, INPUT_MAX - client->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        drop(fd);
        return;
    }
    client->used = (uint16_t)(client->used + got);
    if (!run_input(fd, client)) {
        drop(fd);
        return;
    }
    if (client->used == 0) {
        free(client->input);
        client->input = NULL;
    }
}

static void on_listener(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        clients[fd] = (struct client){.state = STATE_HTTP, .place = -1};
        watch(fd);
    }
}

/* The measured path: one frame made ready, one send per subscriber. */
static void broadcast(const char *payload, size_t length)
{
    static char body[REDIS_BUFFER + 1024];
    static unsigned char frame[sizeof(body) + 10];
    int opening = snprintf(body, 1024, "{\"push\":{\"channel\":\"%s\",\"pub\":{\"data\":", channel);
    size_t total = (size_t)opening;
    memcpy(body + total, payload, length);
    memcpy(body + total + length, "}}}", 3);
    total += length + 3;
    size_t header = frame_header(frame, 1, total);
    memcpy(frame + header, body, total);
    /* Backwards, because dropping a subscriber moves the last one into its place. */
    for (int i = subscriber_count - 1; i >= 0; i--) {
        if (!send_whole(subscribers[i], frame, header + total)) {
            fprintf(stderr, "dropped a subscriber whose socket is full or gone\n");
            drop(subscribers[i]);
        }
    }
}

/* Reads one RESP element at `*at`: a bulk string, or a number whose text is given instead. */
static bool take_element(const char *input, size_t used, size_t *at, const char **text, size_t *len)
{
    const char *line = input + *at;
    const char *end = memmem(line, used - *at, "\r\n", 2);
    if (end == NULL) {
        return false;
    }
    *text = line + 1;
    *len = (size_t)(end - line - 1);
    *at = (size_t)(end + 2 - input);
    if (*line == '$') {
        *text = end + 2;
        *len = strtoul(line + 1, NULL, 10);
        *at += *len + 2;
    }
    return *at <= used;
}

static void on_redis(int fd)
{
    ssize_t got = recv(fd, redis_input + redis_used, sizeof(redis_input) - redis_used, 0);
    if (got <= 0) {
        die("Redis went away");
    }
    redis_used += (size_t)got;
    size_t done = 0;
    for (;;) {
        size_t at = done;
        const char *text[4];
        size_t len[4];
        bool whole = true;
        for (int i = 0; i < 4 && whole; i++) { /* "*3", kind, channel, payload or count */
            whole = take_element(redis_input, redis_used, &at, &text[i], &len[i]);
        }
        if (!whole) {
            break;
        }
        if (len[1] == 7 && memcmp(text[1], "message", 7) == 0) {
            broadcast(text[3], len[3]);
        }
        done = at;
    }
    redis_used -= done;
    memmove(redis_input, redis_input + done, redis_used);
}

static struct sockaddr_in loopback(unsigned long port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_redis(unsigned long port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die("connect to Redis");
    }
    char command[1024];
    int length = snprintf(command, sizeof(command), "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\nwh:ch:%s\r\n",
                          strlen(channel) + 6, channel);
    if (length >= (int)sizeof(command) || !send_whole(fd, command, (size_t)length)) {
        die("SUBSCRIBE");
    }
    return fd;
}

static int open_listener(unsigned long port)
{
    struct sockaddr_in address = loopback(port);
    socklen_t length = sizeof(address);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        die("listen");
    }
    printf("port %u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 3 || strlen(argv[2]) > 255) {
        fprintf(stderr, "usage: epoll_reference REDIS_PORT CHANNEL [PORT]\n");
        return 2;
    }
    channel = argv[2];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < FDS_MAX ? files.rlim_max : FDS_MAX;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        die("epoll_create1");
    }
    int redis = open_redis(strtoul(argv[1], NULL, 10));
    int listener = open_listener(argc > 3 ? strtoul(argv[3], NULL, 10) : 0);
    watch(redis);
    watch(listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == redis) {
                on_redis(fd);
            } else if (fd == listener) {
                on_listener(fd);
            } else if (clients[fd].state != STATE_FREE) {
                on_client(fd);
            }
        }
    }
}
