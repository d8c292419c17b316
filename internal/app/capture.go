package app

import (
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/payload"
)

// captureOf returns what the configuration says of the bodies to keep, nil if it says nothing.
func captureOf(c *config.Capture) (*gateway.Capture, error) {
	if c == nil {
		return nil, nil
	}
	redact, err := payload.NewRedactor(c.Redact)
	if err != nil {
		return nil, err
	}
	return &gateway.Capture{
		Share: c.Percent.Share(), Bytes: int(c.MaxBytes), Redact: redact, Limits: payload.Limits{Keep: c.Keep, MaxSize: int64(c.MaxSize)},
	}, nil
}
