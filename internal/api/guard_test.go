package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuardTurnsAwayStrangers(t *testing.T) {
	const token = "correct horse battery staple"
	tests := []struct {
		name, token, method, host, authorization, origin string
		want                                             int
	}{
		{"loopback name", "", "GET", "127.0.0.1:8090", "", "", 200},
		{"localhost", "", "GET", "localhost:8090", "", "", 200},
		{"localhost without a port", "", "GET", "localhost", "", "", 200},
		{"localhost as it is written elsewhere", "", "GET", "LocalHost.:8090", "", "", 200},
		{"IPv6 loopback", "", "GET", "[::1]:8090", "", "", 200},
		{"rebound name", "", "GET", "evil.example:8090", "", "", 403},
		{"looks like loopback", "", "GET", "127.0.0.1.evil.example", "", "", 403},
		{"empty host", "", "GET", "", "", "", 403},
		{"another origin reads", "", "GET", "localhost:8090", "", "https://evil.example", 200},
		{"another origin writes", "", "PUT", "localhost:8090", "", "https://evil.example", 403},
		{"another origin deletes", "", "DELETE", "localhost:8090", "", "https://evil.example", 403},
		{"same origin writes", "", "PUT", "localhost:8090", "", "http://localhost:8090", 200},
		{"no token", token, "GET", "serin.example", "", "", 401},
		{"wrong token", token, "GET", "serin.example", "Bearer guess", "", 401},
		{"empty token", token, "GET", "serin.example", "Bearer ", "", 401},
		{"another scheme", token, "GET", "serin.example", "Basic " + token, "", 401},
		{"token", token, "GET", "serin.example", "Bearer " + token, "", 200},
		{"token on loopback", token, "DELETE", "localhost", "Bearer " + token, "", 200},
		{"no token on loopback", token, "GET", "localhost", "", "", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := Guard{Token: tt.token}.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(tt.method, "/api/v1/models", nil)
			r.Host = tt.host
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("got %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.org:1": false, "": false,
	} {
		if Loopback(addr) != want {
			t.Errorf("Loopback(%q) = %v", addr, !want)
		}
	}
}
