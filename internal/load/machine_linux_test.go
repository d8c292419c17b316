package load

import (
	"testing"
	"time"
)

func TestProcStatIsRead(t *testing.T) {
	const stat = "cpu  1791721 0 483762 2462171 19722 0 37886 966 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\nintr 1 2 3\n"
	got, ok := readStat([]byte(stat))
	want := idleTime{cores: 2, idle: (2462171 + 19722) * 10 * time.Millisecond, stolen: 966 * 10 * time.Millisecond}
	if !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", "cpu", "intr 1\n", "cpu 1 2 3\n", "cpu a b c d e f g h i\ncpu0 a b c d e f g h\n", "cpu 1 2 3 4 5 6 7 8\n"} {
		if got, ok := readStat([]byte(bad)); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
	if now, ok := systemTime(); !ok || now.cores < 1 || now.idle <= 0 {
		t.Errorf("this machine: %+v, %v", now, ok)
	}
	if processTime() <= 0 || threadTime() <= 0 {
		t.Error("this process took no time")
	}
}
