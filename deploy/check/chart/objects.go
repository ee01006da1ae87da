package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// foreign is the group of the Prometheus operator. Its types are not known here.
const foreign = "monitoring.coreos.com/"

// decodeAll reads objects in YAML: each must be of a kind that is known here, and
// have no field that its type does not have, nor one twice.
func decodeAll(text string) ([]json.RawMessage, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []json.RawMessage
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object, err := decode(decoder, document)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, document)
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
	if strings.HasPrefix(head.APIVersion, foreign) {
		return plain, nil
	}
	if _, _, err := decoder.Decode(document, nil, nil); err != nil {
		return nil, err
	}
	return plain, nil
}
