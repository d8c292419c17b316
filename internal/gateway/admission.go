package gateway

import "github.com/serin-ml/serin/internal/fault"

// admit lets a request in whose body is here, unless as many as the service takes are being answered. Who is let in has to leave.
func (s *Service) admit() error {
	if n := s.inFlight.Add(1); s.options.InFlight > 0 && n > int64(s.options.InFlight) {
		s.inFlight.Add(-1)
		return s.crowded()
	}
	return nil
}

// full tells whether nobody would be let in now.
func (s *Service) full() bool {
	return s.options.InFlight > 0 && s.inFlight.Load() >= int64(s.options.InFlight)
}

// crowded says that there is no room.
func (s *Service) crowded() error {
	return soon{fault.Unavailablef("service %q is answering %d requests already; ask again in a second", s.Name(), s.options.InFlight)}
}

func (s *Service) leave() { s.inFlight.Add(-1) }
