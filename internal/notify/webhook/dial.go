package webhook

import (
	"context"
	"syscall"
)

// control makes a check of addresses what a net.Dialer calls before it connects.
func control(check func(network, address string) error) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		return check(network, address)
	}
}
