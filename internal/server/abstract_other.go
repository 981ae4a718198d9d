//go:build !linux

package server

const abstractSockets = false
