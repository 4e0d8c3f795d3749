/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts that are written once, in a small part of Markdown, and printed in several forms.
 * Inline: `literal`, *emphasis*, [text](link). Blocks: paragraphs, "- " lists (an item a
 * line), fences of ```; an empty line between them.
 */
#ifndef BASE_MARKUP_H
#define BASE_MARKUP_H

#include <stdio.h>

enum markup_form {
	MARKUP_MAN,  /* for man(7), as text lines */
	MARKUP_TEXT, /* for a terminal, 80 columns */
};

/* Print the text in one line, its inline marks in the form's own way. */
void markup_inline(FILE *out, enum markup_form form, const char *text);

/* Print a text of one paragraph in lines of 80 columns, on a terminal indented by so many. */
void markup_paragraph(FILE *out, enum markup_form form, const char *text, unsigned indent);

/* Print a text of several blocks. */
void markup_blocks(FILE *out, enum markup_form form, const char *text);

/* Print a part of a line as it is, so that man(7) takes nothing in it for its own. */
void markup_man_literal(FILE *out, const char *text, size_t len);

#endif
