// Package lang chooses the language that the program speaks.
package lang

import (
	"fmt"
	"strings"
)

// Language is one of the two that the program speaks.
type Language int

// The languages.
const (
	Portuguese Language = iota
	English
)

// From returns the language that the environment asks for: BANKMORE_LANG, or else the locale of messages, in the order that
// POSIX gives to LC_ALL, LC_MESSAGES and LANG. No locale, C and POSIX mean Portuguese, the bank's language; any other
// locale that is not Portuguese means English.
func From(getenv func(string) string) Language {
	for _, name := range []string{"BANKMORE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"} {
		value := strings.ToLower(getenv(name))
		if value == "" {
			continue
		}
		base, _, _ := strings.Cut(value, ".")
		if base == "c" || base == "posix" || strings.HasPrefix(base, "pt") {
			return Portuguese
		}
		return English
	}
	return Portuguese
}

// Say returns the text of the language, with the arguments in its place holders, if there are arguments.
func (l Language) Say(portuguese, english string, args ...any) string {
	text := portuguese
	if l == English {
		text = english
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// Day is the layout of a moment in a table, for time.Time.Format.
func (l Language) Day() string { return l.Say("02/01/2006 15:04:05", "2006-01-02 15:04:05") }
