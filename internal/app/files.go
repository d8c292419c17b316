package app

import (
	"crypto/x509"
	"os"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
)

// CheckFiles tells which files and folders that a configuration names are not there, or not what they should be. Relative paths begin where
// the process was started.
func CheckFiles(c *config.Config) error {
	var all []error
	for i := range c.Services {
		for k := range c.Services[i].Variants {
			v := &c.Services[i].Variants[k]
			var err error
			switch {
			case v.Static != "":
				err = checkFolder(v.Static)
			case v.TLS != nil:
				_, err = authorities(v.TLS.CA)
			}
			if err != nil {
				all = append(all, ofVariant(c.Services[i].Name, v.Name, err))
			}
		}
	}
	return together(all)
}

// checkFolder tells what is wrong with the folder of a static variant.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fault.Invalidf("static: %w", err).WithHint("make the folder, or name another; relative paths begin where the server is started")
	case !info.IsDir():
		return fault.Invalidf("static: %s is no folder", path).WithHint("name the folder that the file is in")
	}
	return nil
}

// authorities reads a file of certificates, nil if path is empty.
func authorities(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Invalidf("tls.ca: %w", err).WithHint("name a file of certificates in PEM; relative paths begin where the server is started")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fault.Invalidf("tls.ca: %s holds no certificate", path).WithHint("it has to hold -----BEGIN CERTIFICATE-----")
	}
	return pem, nil
}
