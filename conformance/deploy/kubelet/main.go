// The kubelet of Kubernetes, unchanged: what pulls the images of pods on a node. Kubernetes offers
// no module that `go install` takes, since its own replaces its parts.
package main

import (
	"context"
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	os.Exit(cli.Run(app.NewKubeletCommand(context.Background())))
}
