package customer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/bankmore/bankmore/platform/fault"
)

// What is wrong with a name or a password that a new customer chose.
var (
	ErrNameLength          = fault.BadArgument("O nome deve ter de 2 a 100 caracteres.")
	ErrPasswordLength      = fault.BadArgument("A senha deve ter de 6 a 128 caracteres.")
	ErrPasswordControl     = fault.BadArgument("A senha não pode ter caracteres de controle, como tabulação ou quebra de linha.")
	ErrPasswordUnsupported = fault.BadArgument("A senha tem um caractere que não é aceito em senhas: invisível, de uso privado, " +
		"desconhecido, ou parte de um emoji composto.")
)

// prepareName returns a name as it is stored: every space of Unicode (categories Zs, Zl, Zp), such as the no-break and
// the ideographic space, is an ordinary one, and there is none at either end. It fails if the name has a character that
// names must not have, fewer than 2 characters that are visible or a space, or more than 100 characters.
func prepareName(text string) (string, error) {
	visible := 0
	for _, r := range text {
		if forbiddenInNames(r) {
			return "", fault.BadArgument(fmt.Sprintf(
				"O nome não pode ter caracteres de controle nem marcas de direção de escrita (U+%04X).", r))
		}
	}
	name := strings.TrimSpace(strings.Map(ordinarySpace, text))
	for _, r := range name {
		if unicode.IsPrint(r) {
			visible++
		}
	}
	if visible < 2 || utf8.RuneCountInString(name) > 100 {
		return "", ErrNameLength
	}
	return name, nil
}

// forbiddenInNames reports whether r is a control character (category Cc), or controls the direction of writing
// (property Bidi_Control): with such marks one name is displayed as another. The joiners U+200C and U+200D are
// neither; the scripts of several languages need them.
func forbiddenInNames(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

func ordinarySpace(r rune) rune {
	if unicode.Is(unicode.Z, r) {
		return ' '
	}
	return r
}

// preparePassword returns a password in the form in which it is hashed: OpaqueString of RFC 8265 section 4.2, that is
// Unicode NFC with ordinary spaces. It fails if the password is not 6 to 128 characters long in that form, or has a
// character that the profile does not allow.
func preparePassword(password string) (string, error) {
	prepared, err := precis.OpaqueString.String(password)
	switch {
	case strings.ContainsFunc(password, unicode.IsControl):
		return "", ErrPasswordControl
	case err != nil && password != "":
		return "", ErrPasswordUnsupported.Because(err)
	}
	if n := utf8.RuneCountInString(prepared); n < 6 || n > 128 {
		return "", ErrPasswordLength
	}
	return prepared, nil
}

// forms returns the texts from which the stored hash of a typed password may have been made: the prepared form, and the
// typed bytes. Older hashes were made from the typed bytes. If both are equal, forms returns one. The number of forms
// depends on the typed text alone, so the time of a failed login reveals nothing about the account.
func forms(password string) []string {
	prepared, err := precis.OpaqueString.String(password)
	if err != nil || prepared == password {
		return []string{password}
	}
	return []string{prepared, password}
}
