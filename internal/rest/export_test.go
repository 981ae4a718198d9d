package rest

import "net/http"

// Refused is how an error of whoever identifies callers is answered, for a test of all.
func Refused(err error) string {
	f := unidentified(err)
	text := http.StatusText(f.status) + " " + f.code
	if f.inner != "" {
		text += " " + f.inner
	}
	return text
}
