// Package ascii tells quickly, eight bytes at a time, what a text is made of. Nearly all
// texts of a decision are plain, and are looked at for every one.
package ascii

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// Only tells whether all of the text is ASCII.
func Only[T ~string | ~[]byte](text T) bool {
	if len(text) < 8 {
		all := byte(0)
		for i := range len(text) {
			all |= text[i]
		}
		return all < 0x80
	}
	all := eight(text, len(text)-8)
	for i := 0; i < len(text)-8; i += 8 {
		all |= eight(text, i)
	}
	return all&highs == 0
}

// Printable tells whether all of the text is ASCII that can be seen, no blank, and neither of
// two more bytes.
func Printable[T ~string | ~[]byte](text T, neither, nor byte) bool {
	if len(text) < 8 {
		for i := range len(text) {
			if c := text[i]; c <= ' ' || c >= 0x7F || c == neither || c == nor {
				return false
			}
		}
		return true
	}
	first, second := uint64(neither)*ones, uint64(nor)*ones
	found := seen(eight(text, len(text)-8), first, second)
	for i := 0; i < len(text)-8; i += 8 {
		found |= seen(eight(text, i), first, second)
	}
	return found&highs == 0
}

// seen has a high bit where one of eight bytes is not to be. Above that one, and only there,
// others may be set for nothing.
func seen(x, first, second uint64) uint64 {
	low := (x - 0x21*ones) &^ x // of bytes below 0x21
	high := x | (x + ones)      // of bytes from 0x7F on
	first, second = x^first, x^second
	return low | high | (first-ones)&^first | (second-ones)&^second
}

// HasUpper tells whether there is an upper-case letter in an ASCII text.
func HasUpper[T ~string | ~[]byte](text T) bool {
	i := 0
	for ; i <= len(text)-8; i += 8 {
		x := eight(text, i)
		if (x+(0x80-'A')*ones)&^(x+(0x80-'Z'-1)*ones)&highs != 0 {
			return true
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

func eight[T ~string | ~[]byte](text T, at int) uint64 {
	b := text[at : at+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
