package server

const abstractSockets = true
