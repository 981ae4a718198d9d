//go:build !soak

package admin_test

// randomWorlds is how many worlds random callers change: each change waits for the disk.
const randomWorlds = 12
