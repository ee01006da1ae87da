package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"wellkey/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "Canary7f3a"

// holder has a secret in every place where printing may find one.
type holder struct {
	Text    secret.Text
	Pointer *secret.Text
	List    []secret.Text
	Map     map[string]secret.Text
	private secret.Text
}

func TestNothingPrintsIt(t *testing.T) {
	text := secret.New(canary)
	h := holder{text, &text, []secret.Text{text}, map[string]secret.Text{"k": text}, text}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, value := range []any{text, &text, h, &h, h.private} {
			fmt.Fprintf(&shown, verb+"\n", value)
		}
	}
	fmt.Fprint(&shown, errors.Join(fmt.Errorf("with %v", text)), text.String())
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		out, err := marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(out)
	}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	logger := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&shown), zap.DebugLevel))
	logger.Info("x", zap.Any("text", text), zap.Stringer("stringer", text), zap.Reflect("holder", h), zap.Any("list", h.List))
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "text", text, "holder", h)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "text", text, "holder", h)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("%s is shown in:\n%s", form, shown.String())
		}
	}
	if !strings.Contains(shown.String(), "[redacted]") {
		t.Error("the secret leaves no trace; it should say [redacted]")
	}
}

func TestReveal(t *testing.T) {
	if got := secret.New(canary).Reveal(); got != canary {
		t.Errorf("got %q", got)
	}
	if !secret.New("").IsZero() || secret.New("x").IsZero() {
		t.Error("a secret is not zero exactly when its value is empty")
	}
	if same := secret.New(strings.Clone(canary)); same != secret.New(canary) || same == secret.New("x") {
		t.Error("two secrets are not equal exactly when their values are")
	}
}

func TestHide(t *testing.T) {
	const hard = `c@n%ary+^<&"/`
	text := secret.New(hard)
	for said, want := range map[string]string{
		"":                                    "",
		"nothing of it":                       "nothing of it",
		hard + "," + hard:                     "[redacted],[redacted]",
		"c%40n%25ary%2B%5E%3C%26%22%2F":       "[redacted]", // in a form
		"c@n%25ary+%5E%3C&%22%2F":             "[redacted]", // in a path
		`{"sent":"c@n%ary+^\u003c\u0026\"/"}`: `{"sent":"[redacted]"}`,
		`{"sent":"c@n%ary+^<&\"/"}`:           `{"sent":"[redacted]"}`,
		"Basic " + base64.StdEncoding.EncodeToString([]byte(hard)): "Basic [redacted]",
	} {
		if got := text.Hide(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
	if got := secret.New("").Hide("all of it"); got != "all of it" {
		t.Errorf("no secret: got %q", got)
	}
}
