package admin

// RememberMost bounds how many answers of a tenant are remembered.
func (a *Admin) RememberMost(n uint64) { a.rememberMost = n }
