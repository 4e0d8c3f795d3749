// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/terminal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, no cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define TO_LINE_END "\033[K"
#define TO_SCREEN_END "\033[J"
#define REVERSE "\033[7m"
#define PLAIN "\033[0m"

static struct termios before;
static volatile sig_atomic_t quit;

static void on_quit(int number)
{
	(void)number;
	quit = 1;
}

static void on_resize(int number)
{
	(void)number; /* it interrupts poll() */
}

static void catch (int number, void (*fn)(int))
{
	struct sigaction action = { .sa_handler = fn };

	(void)sigaction(number, &action, NULL);
}

bool terminal_is_here(void)
{
	return isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
}

void terminal_open(void)
{
	struct termios raw;

	catch (SIGINT, on_quit);
	catch (SIGTERM, on_quit);
	catch (SIGHUP, on_quit);
	catch (SIGWINCH, on_resize);
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	(void)fputs(ENTER, stdout);
}

void terminal_close(void)
{
	(void)fputs(LEAVE, stdout);
	(void)fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

void terminal_size(size_t *ret_columns, size_t *ret_lines)
{
	struct winsize size = { 0 };

	*ret_columns = 80;
	*ret_lines = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
		return;
	*ret_columns = size.ws_col < TERMINAL_COLUMNS_MAX ? size.ws_col : TERMINAL_COLUMNS_MAX;
	*ret_lines = size.ws_row;
}

void terminal_begin(void)
{
	(void)fputs(HOME, stdout);
}

/* The newline stands before each line but the first: one behind the last would scroll. */
void terminal_line(const char *text, bool reverse)
{
	size_t columns, lines;

	terminal_size(&columns, &lines);
	(void)printf("%s%.*s%s" TO_LINE_END "\r\n", reverse ? REVERSE : "", (int)columns, text,
		     reverse ? PLAIN : "");
}

void terminal_end(void)
{
	(void)fputs(TO_SCREEN_END, stdout);
	(void)fflush(stdout);
}

int terminal_key(int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char key;
	int n;

	if (quit)
		return TERMINAL_QUIT;
	n = poll(&input, 1, timeout_ms);
	if (quit)
		return TERMINAL_QUIT;
	if (n <= 0)
		return TERMINAL_NOTHING;
	return read(STDIN_FILENO, &key, 1) == 1 ? key : TERMINAL_QUIT;
}
