package source

import "context"

// Poll looks at the file once, as Run does at each tick.
func (f *File) Poll(ctx context.Context) { f.poll(ctx) }
