// Checks Kubernetes manifests the way the API server does: strict decoding (no unknown, repeated or
// ill-typed field), defaulting, the server's own validation, and the "restricted" Pod Security
// Standard. Directories are built as kustomizations first.
//
//	manifests [-restricted] FILE|DIRECTORY...
//
// Prints "kind/name" for each object that is right, and ends with 1 when one is not.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podapi "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corev1conversion "k8s.io/kubernetes/pkg/apis/core/v1"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	policyapi "k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
)

func main() {
	restricted := flag.Bool("restricted", false, "pods must fit the restricted standard")
	flag.Parse()
	failed := flag.NArg() == 0
	for _, path := range flag.Args() {
		if err := checkPath(path, *restricted); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func checkPath(path string, restricted bool) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var problems []error
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return errors.Join(problems...)
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		name, err := check(document, restricted)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
			continue
		}
		fmt.Println(name)
	}
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		if err != nil {
			return nil, err
		}
		return os.ReadFile(path)
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, err
	}
	return objects.AsYaml()
}

// check returns the object's kind and name, and what is wrong with it.
func check(document []byte, restricted bool) (string, error) {
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	object, kind, err := codecs.UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		return "?", err
	}
	legacyscheme.Scheme.Default(object)
	internal, err := legacyscheme.Scheme.ConvertToVersion(
		object, runtime.InternalGroupVersioner)
	if err != nil {
		return kind.Kind, err
	}
	accessor, err := meta.Accessor(internal)
	if err != nil {
		return kind.Kind, err
	}
	name := kind.Kind + "/" + accessor.GetName()
	if accessor.GetNamespace() == "" {
		// As kubectl does.
		accessor.SetNamespace("default")
	}
	found, pod := validate(internal)
	problems := []error{found.ToAggregate()}
	if found == nil {
		problems = nil
	}
	if pod != nil && restricted {
		problems = append(problems, checkRestricted(pod))
	}
	return name, errors.Join(problems...)
}

// validate returns what the API server would refuse, and the object's pods if it makes any.
func validate(object runtime.Object) (field.ErrorList, *core.PodTemplateSpec) {
	switch o := object.(type) {
	case *core.Pod:
		template := &core.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
		options := podapi.GetValidationOptionsFromPodTemplate(template, nil)
		return corevalidation.ValidatePodCreate(o, options), template
	case *apps.Deployment:
		options := podapi.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)
		return appsvalidation.ValidateDeployment(o, options), &o.Spec.Template
	case *apps.DaemonSet:
		options := podapi.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)
		return appsvalidation.ValidateDaemonSet(o, options), &o.Spec.Template
	case *batch.Job:
		options := podapi.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)
		// The server sets selector and labels itself.
		o.UID = "checked"
		o.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{
			batch.ControllerUidLabel: string(o.UID)}}
		labels := map[string]string{
			batch.ControllerUidLabel: string(o.UID), batch.JobNameLabel: o.Name,
			batch.LegacyControllerUidLabel: string(o.UID), batch.LegacyJobNameLabel: o.Name}
		for key, value := range o.Spec.Template.Labels {
			labels[key] = value
		}
		o.Spec.Template.Labels = labels
		return batchvalidation.ValidateJobCreate(o, batchvalidation.JobValidationOptions{
			PodValidationOptions: options, RequirePrefixedLabels: true}), &o.Spec.Template
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(o,
			autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{
				MinReplicasLowerBound: 1}), nil
	case *core.Service:
		return corevalidation.ValidateServiceCreate(o), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(o), nil
	case *core.Secret:
		return corevalidation.ValidateSecret(o), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(o), nil
	case *rbac.Role:
		return rbacvalidation.ValidateRole(o), nil
	case *rbac.RoleBinding:
		return rbacvalidation.ValidateRoleBinding(o), nil
	case *core.Namespace:
		o.Namespace = ""
		return corevalidation.ValidateNamespace(o), nil
	case *core.PersistentVolumeClaim:
		options := corevalidation.ValidationOptionsForPersistentVolumeClaimCreate()
		return corevalidation.ValidatePersistentVolumeClaim(o, options), nil
	case *networking.Ingress:
		return networkingvalidation.ValidateIngressCreate(o), nil
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(
			o, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	case *policyapi.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(
			o, policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	default:
		return field.ErrorList{field.Invalid(
			field.NewPath("kind"), fmt.Sprintf("%T", o), "this program cannot check it")}, nil
	}
}

func checkRestricted(template *core.PodTemplateSpec) error {
	var pod corev1.PodTemplateSpec
	if err := corev1conversion.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(
		template, &pod, nil); err != nil {
		return err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	level := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	result := policy.AggregateCheckResults(
		evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if result.Allowed {
		return nil
	}
	return errors.New(result.ForbiddenDetail())
}
