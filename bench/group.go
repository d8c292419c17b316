package main

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sync/errgroup"
)

// groupFile is the least that makes a record durable for many writers: one goroutine takes what they bring, writes all there is at once,
// calls fsync and tells them.
type groupFile struct {
	file  *os.File
	queue chan pending
}

// pending is a record on its way to the disk.
type pending struct {
	record []byte
	done   chan<- error
}

func newGroupFile(path string) (*groupFile, error) {
	f, err := os.Create(path)
	return &groupFile{file: f, queue: make(chan pending, writers)}, err
}

func (g *groupFile) close() error { return g.file.Close() }

// turn has every writer bring its records of that size, each when the one before is durable.
func (g *groupFile) turn(size int) (effort, error) {
	record := bytes.Repeat([]byte("o"), size)
	e, err := spend(func() error {
		var bringing, committing errgroup.Group
		stop := make(chan struct{})
		committing.Go(func() error { g.commit(stop); return nil })
		for range writers {
			bringing.Go(func() error { return g.bring(record) })
		}
		err := bringing.Wait()
		close(stop)
		return errors.Join(err, committing.Wait())
	})
	return e.per(feedbackTurn), err
}

func (g *groupFile) bring(record []byte) error {
	done := make(chan error, 1)
	for range perWriter {
		g.queue <- pending{record, done}
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func (g *groupFile) commit(stop <-chan struct{}) {
	var group []pending
	var text []byte
	for {
		select {
		case <-stop:
			return
		case p := <-g.queue:
			group, text = append(group[:0], p), append(text[:0], p.record...)
		}
		for len(g.queue) > 0 {
			p := <-g.queue
			group, text = append(group, p), append(text, p.record...)
		}
		_, err := g.file.Write(text)
		if err == nil {
			err = g.file.Sync()
		}
		for _, p := range group {
			p.done <- err
		}
	}
}
