package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// upstreamAnswer is about as long as what a model answers; %s names the instance.
const upstreamAnswer = `{"model_name":"movies","model_version":"1.4.0","instance":"%s","outputs":[{"name":"scores","shape":[1,4],"datatype":"FP32","data":[0.81,0.44,0.31,0.07]}]}`

// nginx is what runs as one NGINX.
type nginx struct {
	address string // it is ready when this one answers
	workers int
	servers string // of its configuration
}

// nginxUpstreams answer any request with a constant that names the instance.
func nginxUpstreams(named map[string]string) nginx {
	var servers strings.Builder
	for name, address := range named {
		fmt.Fprintf(&servers, "server { listen %s backlog=4096; location / { return 200 '"+upstreamAnswer+"'; } }\n", address, name)
	}
	return nginx{named["a"], 1, servers.String()}
}

// nginxProxy splits 4:1 by a hash of a header, over two stable instances and one canary, as a careful team writes
// it: connections to upstreams are kept, headers tell who asked and with which id, and one limit of time is in force.
func nginxProxy(address string, named map[string]string) nginx {
	return nginx{address, runtime.NumCPU(), fmt.Sprintf(`
split_clients $http_x_user $group { 20%% canary; * stable; }
upstream stable { server %s; server %s; keepalive 128; keepalive_requests 1000000000; }
upstream canary { server %s; keepalive 128; keepalive_requests 1000000000; }
server {
  listen %s backlog=4096;
  location / {
    proxy_pass http://$group;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Request-Id $request_id;
    proxy_connect_timeout 1s;
    proxy_send_timeout 1s;
    proxy_read_timeout 1s;
    add_header X-Variant $group;
  }
}
`, named["a"], named["b"], named["c"], address)}
}

// config is what every NGINX here has in common: no daemon, no access log, nothing outside its folder.
func (n nginx) config() string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // whose folder it is; else the workers would be nobody
	}
	return fmt.Sprintf(`
daemon off;
%s
worker_processes %d;
worker_rlimit_nofile %d;
error_log stderr crit;
pid nginx.pid;
events { worker_connections 16384; }
http {
  access_log off;
  default_type application/json;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
%s
}
`, user, n.workers, openFiles, n.servers)
}

// launch starts Debian's NGINX in a folder of its own, and waits until it answers.
func (n nginx) launch(ctx context.Context, dir string) (*remote, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/nginx") // where Debian has it, which is in the PATH of root alone
	}
	if err != nil {
		return nil, fmt.Errorf("%w (scripts/servers.sh installs it)", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(n.config()), 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "-p", dir, "-e", "stderr", "-c", file)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &remote{command: command, http: n.address}
	if err := s.ready(ctx, "/"); err != nil {
		return nil, errors.Join(fmt.Errorf("NGINX does not get ready: %w", err), s.stop())
	}
	s.workers, err = children(command.Process.Pid)
	if err == nil && len(s.workers) != n.workers {
		err = fmt.Errorf("NGINX has %d workers, and should have %d", len(s.workers), n.workers)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// children are the processes that a process has started.
func children(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		all = append(all, child)
	}
	return all, nil
}
