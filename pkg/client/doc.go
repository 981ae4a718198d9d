// Package client asks a running Pathgrant whether somebody may do something, for services
// that ask themselves instead of standing behind a proxy.
//
// [Dial] returns a [Client], [Client.Check] a [Decision]. [Middleware] and [Interceptor]
// ask before every request and call that a service of one's own serves.
//
// In doubt, no. The zero Decision denies; what an answer says that this package does not
// know, or that contradicts itself, denies; and an error never comes with a decision that
// allows. A caller cannot go wrong with
//
//	decision, err := c.Check(ctx, question)
//	if err != nil || !decision.Allowed() {
//		// refuse
//	}
package client
