/* SPDX-License-Identifier: MIT
 *
 * Command line of ebb-load.
 */
#include "options.h"

#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIVE_MIN_BYTES (8ll << 20)
#define LIVE_MAX_BYTES (1ll << 40)

static const char help[] =
    "Usage: ebb-load [options]\n"
    "A database-like load on malloc, the same for every allocator: connections come up to a peak (ramp), "
    "run\n"
    "statements (steady), 95 % of them close (fall), and nothing is allocated for a while (idle).\n"
    "\n"
    "  --live SIZE       requested bytes that are live at the peak: 8M and more, default 512M\n"
    "  --threads N       threads, 1 to 256, default: one for each processor, at least 2\n"
    "  --seconds S       length of the steady phase, default 8\n"
    "  --ops N           instead: length of the steady phase in operations (rounded up to whole rounds), so\n"
    "                    that every allocator does exactly the same work\n"
    "  --idle S          length of the idle phase in seconds, fractions allowed, default 5\n"
    "  --seed N          seed of the random numbers, default 1\n"
    "  --json            write JSON lines to standard output: a sample each 100 ms, then the summary\n"
    "  --report-fd FD    the same to a file descriptor\n"
    "  --help            this text\n"
    "\n"
    "An operation is the begin or the end of one statement, with some 20 allocation calls.\n"
    "Exit status: 0 done, 1 failed (out of memory), 2 usage, 3 the allocator corrupted memory.\n";

static int usage(const char *name, const char *value, const char *wanted)
{
    fprintf(stderr, "ebb-load: --%s %s: %s (try --help)\n", name, value, wanted);
    return 2;
}

/* A whole number with an optional unit letter; 0 or -EINVAL. */
static int parse_size(const char *text, bool unit_allowed, uint64_t *ret_value)
{
    static const char units[] = "KMGT";
    char *end;

    errno = 0;
    if (*text < '0' || *text > '9')
        return -EINVAL;

    uint64_t value = strtoull(text, &end, 10);

    if (errno != 0)
        return -EINVAL;
    if (unit_allowed && *end != '\0') {
        const char *unit = strchr(units, *end & ~0x20);

        if (unit == NULL || *unit == '\0')
            return -EINVAL;
        unsigned shift = 10u * (unsigned)(unit - units + 1);
        if (value > (UINT64_MAX >> shift))
            return -EINVAL;
        value <<= shift;
        end++;
        if (strcmp(end, "iB") == 0)
            end += 2;
    }
    if (*end != '\0')
        return -EINVAL;
    *ret_value = value;
    return 0;
}

static int parse_ms(const char *text, uint64_t *ret_ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400))
        return -EINVAL;
    *ret_ms = (uint64_t)(seconds * 1000 + 0.5);
    return 0;
}

static unsigned default_threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return cpus < 2 ? 2 : cpus > LANE_COUNT_MAX ? LANE_COUNT_MAX : (unsigned)cpus;
}

static int parse_one(int option, const char *name, const char *text, struct options *o)
{
    uint64_t value = 0;

    if (option == 'i')
        return parse_ms(text, &o->idle_ms) == 0 ? 0 : usage(name, text, "seconds wanted, 0 to 86400");
    if (parse_size(text, option == 'l', &value) != 0)
        return usage(name, text, option == 'l' ? "a size such as 512M wanted" : "a whole number wanted");
    switch (option) {
    case 'l':
        if (value < LIVE_MIN_BYTES || value > LIVE_MAX_BYTES)
            return usage(name, text, "a size from 8M to 1T wanted");
        o->live_bytes = (int64_t)value;
        break;
    case 't':
        if (value < 1 || value > LANE_COUNT_MAX)
            return usage(name, text, "1 to 256 wanted");
        o->threads = (unsigned)value;
        break;
    case 's':
        if (value > 86400)
            return usage(name, text, "0 to 86400 wanted");
        o->seconds = value;
        break;
    case 'o':
        if (value < 1 || value > UINT64_MAX / 2)
            return usage(name, text, "1 and more wanted");
        o->ops = value;
        break;
    case 'r':
        o->seed = value;
        break;
    default:
        if (value > 1023 || fcntl((int)value, F_GETFD) < 0)
            return usage(name, text, "not an open file descriptor");
        o->report_fd = (int)value;
    }
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
    static const struct option long_options[] = {
        {"live", required_argument, NULL, 'l'},
        {"threads", required_argument, NULL, 't'},
        {"seconds", required_argument, NULL, 's'},
        {"ops", required_argument, NULL, 'o'},
        {"idle", required_argument, NULL, 'i'},
        {"seed", required_argument, NULL, 'r'},
        {"report-fd", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.live_bytes = 512ll << 20,
                        .threads = default_threads(),
                        .seconds = 8,
                        .idle_ms = 5000,
                        .seed = 1,
                        .report_fd = -1};
    int option, index = 0;

    while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (option == '?')
            return 2;
        if (option == 'h')
            return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? 2 : 1;
        if (option == 'j') {
            o.report_fd = STDOUT_FILENO;
            continue;
        }

        int status = parse_one(option, long_options[index].name, optarg, &o);

        if (status != 0)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "ebb-load: unexpected argument: %s (try --help)\n", argv[optind]);
        return 2;
    }
    *ret_options = o;
    return 0;
}
