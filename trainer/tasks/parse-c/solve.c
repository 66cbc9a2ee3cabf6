/* Reads log lines one character after another and writes each as a line of JSON. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, NUMBER, TEXT };

struct text {
    char *chars;
    size_t length;
};

struct field {
    struct text key;
    struct text value;
    enum kind kind;
};

static const size_t most_digits = 15;

/* Adds a character to the end of a text. */
static void append(struct text *text, char character)
{
    text->chars = realloc(text->chars, text->length + 1);
    text->chars[text->length++] = character;
}

static int digit_of_hex(char character)
{
    return character <= '9' ? character - '0' : character - 'a' + 10;
}

/* Says whether a bare value is a whole number. */
static int is_number(const struct text *text)
{
    size_t first = text->length > 0 && text->chars[0] == '-';
    size_t digits = text->length - first;
    if (digits == 0 || digits > most_digits)
        return 0;
    if (digits > 1 && text->chars[first] == '0')
        return 0;
    for (size_t at = first; at < text->length; at++)
        if (text->chars[at] < '0' || text->chars[at] > '9')
            return 0;
    return 1;
}

/* Reads a key; returns the place behind it. */
static const char *read_key(const char *at, const char *end, struct text *key)
{
    for (; at < end && *at != '=' && *at != ' '; at++)
        append(key, *at);
    return at;
}

/* Reads a value without quotes; returns the place behind it. */
static const char *read_bare(const char *at, const char *end, struct text *value)
{
    for (; at < end && *at != ' '; at++)
        append(value, *at);
    return at;
}

/* Reads a value up to its closing quote; returns the place behind that. */
static const char *read_quoted(const char *at, struct text *value)
{
    for (; *at != '"'; at++) {
        if (*at != '\\') {
            append(value, *at);
            continue;
        }
        at++;
        if (*at == 'x') {
            append(value, (char)(16 * digit_of_hex(at[1]) + digit_of_hex(at[2])));
            at += 2;
        } else {
            append(value, *at == 'n' ? '\n' : *at == 't' ? '\t' : *at);
        }
    }
    return at + 1;
}

/* Writes text as JSON has it. */
static void write_text(const struct text *text)
{
    putchar('"');
    for (size_t at = 0; at < text->length; at++) {
        unsigned char character = (unsigned char)text->chars[at];
        if (character == '"' || character == '\\')
            printf("\\%c", character);
        else if (character < ' ')
            printf("\\u%04x", character);
        else
            putchar(character);
    }
    putchar('"');
}

/* Writes a field as JSON has it. */
static void write_field(const struct field *field)
{
    write_text(&field->key);
    putchar(':');
    if (field->kind == FLAG)
        printf("true");
    else if (field->kind == NUMBER)
        printf("%.*s", (int)field->value.length, field->value.chars);
    else
        write_text(&field->value);
}

/* Reads a line, field by field, and writes it. */
static void convert(const char *at, const char *end)
{
    int is_first = 1;
    putchar('{');
    while (at < end) {
        if (*at == ' ') {
            at++;
            continue;
        }
        struct field field = {.kind = FLAG};
        at = read_key(at, end, &field.key);
        if (at < end && *at == '=') {
            field.kind = TEXT;
            at++;
            if (at < end && *at == '"') {
                at = read_quoted(at + 1, &field.value);
            } else {
                at = read_bare(at, end, &field.value);
                if (is_number(&field.value))
                    field.kind = NUMBER;
            }
        }
        if (!is_first)
            putchar(',');
        is_first = 0;
        write_field(&field);
        free(field.key.chars);
        free(field.value.chars);
    }
    putchar('}');
    putchar('\n');
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0)
        convert(line, line + length - (line[length - 1] == '\n'));
    free(line);
    return 0;
}
