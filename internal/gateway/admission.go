package gateway

import "github.com/serin-ml/serin/internal/fault"

// admit lets a request in whose body is here, unless as many as the service takes are being answered. Who is let in has to leave.
func (s *Service) admit() error {
	if n := s.inFlight.Add(1); s.options.InFlight > 0 && n > int64(s.options.InFlight) {
		s.inFlight.Add(-1)
		return soon{fault.Unavailablef("service %q is answering %d requests already; ask again in a second", s.Name(), s.options.InFlight)}
	}
	return nil
}

func (s *Service) leave() { s.inFlight.Add(-1) }
