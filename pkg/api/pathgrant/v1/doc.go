// Package pathgrantv1 is the generated Go code of the contract in proto/pathgrant/v1:
// the messages of AuthorizationService, its client and its server interface.
//
// The messages are safe to read from several goroutines and not to write. An empty
// decision denies: only an effect of EFFECT_ALLOW lets a request pass. Do not edit the
// other files of this directory; change the proto and run `make proto`.
package pathgrantv1
