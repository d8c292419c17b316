package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// memory is a store.State that is as fast as memory, for tests that live many lives.
type memory struct {
	mu   sync.Mutex
	docs map[string]store.Doc
	last int64
}

func newMemory() *memory { return &memory{docs: map[string]store.Doc{}} }

// clone is another memory of the same documents.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{docs: maps.Clone(m.docs), last: m.last}
}

func (m *memory) View(_ context.Context, read func(store.Reader) error) error {
	m.mu.Lock()
	docs, last := maps.Clone(m.docs), m.last
	m.mu.Unlock()
	return read(&memoryTx{docs: docs, last: last})
}

func (m *memory) Update(_ context.Context, write func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memoryTx{docs: maps.Clone(m.docs), last: m.last}
	if err := write(tx); err != nil {
		return err
	}
	m.docs, m.last = tx.docs, tx.last
	return nil
}

type memoryTx struct {
	docs map[string]store.Doc
	last int64
}

func (t *memoryTx) Get(key string) (store.Doc, error) {
	d, ok := t.docs[key]
	if !ok {
		return d, fault.NotFoundf("there is no document %s", key)
	}
	return d, nil
}

func (t *memoryTx) Scan(prefix string, found func(store.Doc) error) error {
	var keys []string
	for key := range t.docs {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if d, ok := t.docs[key]; ok {
			if err := found(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *memoryTx) Put(key string, value []byte, was int64) (int64, error) {
	if err := errors.Join(store.CheckKey(key), store.CheckValue(key, value), store.CheckRevision(key, was, t.docs[key].Revision)); err != nil {
		return 0, err
	}
	t.last++
	t.docs[key] = store.Doc{Key: key, Revision: t.last, Value: slices.Clone(value)}
	return t.last, nil
}

func (t *memoryTx) Delete(key string, was int64) error {
	if err := store.CheckRevision(key, was, t.docs[key].Revision); err != nil {
		return err
	}
	delete(t.docs, key)
	return nil
}

// mortal is the State of a process that dies at one of its writes: before it is done, or when it is done and nobody has heard of it.
type mortal struct {
	store.State
	mu     sync.Mutex
	writes int
	diesAt int // from 1; 0: never
	after  bool
	dead   bool
}

var errDead = errors.New("this process is dead")

func (m *mortal) View(ctx context.Context, read func(store.Reader) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	return m.State.View(ctx, read)
}

func (m *mortal) Update(ctx context.Context, write func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	m.writes++
	if m.writes != m.diesAt {
		return m.State.Update(ctx, write)
	}
	m.dead = true
	if m.after {
		if err := m.State.Update(ctx, write); err != nil {
			return err
		}
	}
	return errDead
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}
