package secret_test

import (
	"bytes"
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
