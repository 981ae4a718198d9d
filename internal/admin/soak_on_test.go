//go:build soak

package admin_test

// randomWorlds is how many worlds random callers change.
const randomWorlds = 400
