package app

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/config"
)

// connections counts the open connections of every listener, and those that were turned away.
type connections struct {
	open    *prometheus.GaugeVec
	refused *prometheus.CounterVec
}

func newConnections(metrics prometheus.Registerer) connections {
	c := connections{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "serin_connections_open",
			Help: "Connections that are open now, by listener.",
		}, []string{"listener"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_connections_refused_total",
			Help: "Connections that were closed at once, by listener: because there were too many (all), or too many of one client (client).",
		}, []string{"listener", "why"}),
	}
	metrics.MustRegister(c.open, c.refused)
	return c
}

// bound returns l with at most so many connections open at once as limits say.
func (c connections) bound(l net.Listener, name string, limits config.ServerLimits) net.Listener {
	return &boundListener{
		Listener: l, most: limits.Connections, mostOfOne: limits.ConnectionsPerClient, open: c.open.WithLabelValues(name),
		refused: c.refused.WithLabelValues(name, "all"), refusedOne: c.refused.WithLabelValues(name, "client"), clients: map[netip.Addr]int{},
	}
}

// boundListener closes connections over its bounds as soon as it has accepted them: left in the kernel's queue, their clients would wait
// for an answer that does not come. A bound of 0 is none.
type boundListener struct {
	net.Listener
	most, mostOfOne     int
	open                prometheus.Gauge
	refused, refusedOne prometheus.Counter

	mu      sync.Mutex
	all     int
	clients map[netip.Addr]int // counted only where mostOfOne asks for it
}

// Accept returns the next connection within the bounds.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := l.client(conn)
		if l.admit(client) {
			return l.counted(conn, client), nil
		}
		conn.Close()
	}
}

// client is whose connection it is, the zero Addr where nobody counts that.
func (l *boundListener) client(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok && l.mostOfOne > 0 {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (l *boundListener) admit(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.most > 0 && l.all >= l.most:
		l.refused.Inc()
		return false
	case client.IsValid() && l.clients[client] >= l.mostOfOne:
		l.refusedOne.Inc()
		return false
	}
	l.all++
	l.open.Inc()
	if client.IsValid() {
		l.clients[client]++
	}
	return true
}

func (l *boundListener) closed(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	l.open.Dec()
	if !client.IsValid() {
		return
	}
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
}

// counted makes a connection tell when it is closed. That of TCP keeps all that servers look for in one.
func (l *boundListener) counted(conn net.Conn, client netip.Addr) net.Conn {
	closed := sync.OnceFunc(func() { l.closed(client) })
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &countedTCP{tcp, closed}
	}
	return &countedConn{conn, closed}
}

type countedTCP struct {
	*net.TCPConn
	closed func()
}

// Close closes the connection and counts it out.
func (c *countedTCP) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}

type countedConn struct {
	net.Conn
	closed func()
}

// Close closes the connection and counts it out.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
