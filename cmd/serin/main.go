// Command serin takes a machine-learning model from training to production: it keeps models in a registry and serves them over the
// protocols that clients already speak. Each command has a file of its own here; what a command does is in internal/.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// untilSignal returns a context that the first signal ends, SIGTERM with the cause app.ErrTerminated. A second one ends the process at once,
// which the kernel would not do for the first process of a container.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if s := <-signals; s == syscall.SIGTERM {
			cancel(app.ErrTerminated)
		} else {
			cancel(context.Canceled)
		}
		if s, ok := (<-signals).(syscall.Signal); ok {
			os.Exit(128 + int(s)) // as a shell says it
		}
	}()
	return ctx
}

// cli is every command and the flags they share.
type cli struct {
	DataDir string `name:"data-dir" env:"SERIN_DATA_DIR" default:".serin" placeholder:"DIR" help:"Where models and state are kept (default: .serin)."`
	JSON    bool   `help:"Print JSON, for programs."`

	Serve   serveCmd   `cmd:"" help:"Serve models over HTTP and gRPC until told to stop."`
	Reload  reloadCmd  `cmd:"" help:"Let a running server read its configuration file anew."`
	Check   checkCmd   `cmd:"" help:"Check a configuration file and tell every mistake at once."`
	Predict predictCmd `cmd:"" help:"Answer the rows of a file with a model, without a server."`
	Explain explainCmd `cmd:"" help:"Explain the answers to the rows of a file: what each feature contributes."`
	Model   modelCmd   `cmd:"" help:"Keep models, their versions and aliases."`
	Load    loadCmd    `cmd:"" help:"Send requests at a rate, and tell how long the answers took."`

	Services servicesCmd `cmd:"" help:"Show what a running server answers with, and how its upstreams are."`

	Traffic trafficCmd `cmd:"" help:"Show and change which variant gets how much of a service's traffic, and compare variants."`
	Release releaseCmd `cmd:"" help:"Move a service to another variant step by step, judged on the way, and back at the first harm."`
	Shadow  shadowCmd  `cmd:"" help:"See how the answers of shadows are beside those that clients get."`
	SQL     sqlCmd     `cmd:"" name:"sql" help:"Ask what was measured, in SQL."`

	Decisions decisionsCmd `cmd:"" help:"Look at decisions one by one."`
	Export    exportCmd    `cmd:"" help:"Write what was measured into a file."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// exited carries the exit code of a command that ends the parser, such as --help.
type exited int

// coded is an error with an exit code of its own.
type coded interface {
	error
	ExitCode() int
}

// run runs one command line and returns its exit code: 0, 1 when the command failed, 2 when it was not understood, 130 when it was
// interrupted; or that of a coded error.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			e, ours := p.(exited)
			if !ours {
				panic(p)
			}
			code = int(e)
		}
	}()
	var c cli
	say := &speaker{in: in, out: out, errs: errs}
	parser, err := kong.New(&c,
		kong.Name("serin"),
		kong.Description("From a trained model to production, and on: registry and server in one binary."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		say.failure(err)
		return 1
	}
	say.json = slices.Contains(args, "--json") // known even where the rest is not understood
	chosen, err := parser.Parse(args)
	if err != nil {
		say.failure(fault.Invalidf("%w", err).WithHint("`serin --help` lists the commands, `serin COMMAND --help` its flags"))
		return 2
	}
	say.json = c.JSON
	chosen.BindTo(ctx, (*context.Context)(nil))
	err = chosen.Run(&c, say)
	own, isCoded := errors.AsType[coded](err)
	switch {
	case isCoded:
		say.failure(err)
		return own.ExitCode()
	case err != nil && ctx.Err() != nil:
		say.failure(fault.Unavailablef("interrupted").WithHint("what was not acknowledged did not happen; run the command again"))
		return 130 // as a shell says it of a command that Ctrl-C ended
	case err != nil:
		say.failure(err)
		return 1
	}
	return 0
}
