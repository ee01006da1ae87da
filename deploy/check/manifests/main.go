// Manifests reads Kubernetes objects in YAML from its input as an API server with
// strict validation does: each must be of a kind that is known here, and have no
// field that its type does not have, nor one twice. It prints them as a JSON
// array. Objects of other API groups (those of the Prometheus operator) are
// printed as they are.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	objects, err := read(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(objects)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// foreign are the groups whose types are not known here.
var foreign = []string{"monitoring.coreos.com/"}

func read(r io.Reader) ([]json.RawMessage, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []json.RawMessage
	var faults []error
	documents := yaml.NewYAMLReader(bufio.NewReader(r))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, errors.Join(faults...)
		}
		if err != nil {
			return nil, err
		}
		object, err := decode(decoder, document)
		if err != nil {
			faults = append(faults, fmt.Errorf("document %d: %w\n%s", n, err, document))
		}
		if object != nil {
			objects = append(objects, object)
		}
	}
}

// decode returns the object in one document as JSON, nil if there is none.
func decode(decoder runtime.Decoder, document []byte) (json.RawMessage, error) {
	plain, err := yaml.ToJSON(document)
	if err != nil || string(plain) == "null" {
		return nil, err
	}
	var head struct{ APIVersion string }
	if err := json.Unmarshal(plain, &head); err != nil {
		return nil, err
	}
	for _, group := range foreign {
		if strings.HasPrefix(head.APIVersion, group) {
			return plain, nil
		}
	}
	if _, _, err := decoder.Decode(document, nil, nil); err != nil {
		return nil, err
	}
	return plain, nil
}
