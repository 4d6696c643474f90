// Judges the ARM double with Microsoft's own Go clients, their token code and their pollers.
//
// It goes through a clone's life (address, card, VM, run command, restore point, disk of it, all deleted) and prints
// one line of JSON for each step. A client that disagrees with the double about a URL, a header of a long operation or
// a body ends it with status 1. Where the double is comes from the environment: ARM_URL, ARM_CA, ARM_TENANT,
// ARM_SUBSCRIPTION, ARM_CLIENT, ARM_SECRET, ARM_GROUP, ARM_LOCATION, ARM_SUBNET, ARM_SOURCE.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	compute "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	network "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

var (
	ctx      = context.Background()
	group    = os.Getenv("ARM_GROUP")
	location = os.Getenv("ARM_LOCATION")
)

func main() {
	if err := live(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(step string, facts map[string]any) {
	line, _ := json.Marshal(map[string]any{"step": step, "facts": facts})
	fmt.Println(string(line))
}

// done polls until the service says that it is over. The double's clock moves with each request, so nobody waits.
func done[T any](poller *runtime.Poller[T], err error) (T, error) {
	for err == nil && !poller.Done() {
		_, err = poller.Poll(ctx)
	}
	if err != nil {
		return *new(T), err
	}
	return poller.Result(ctx)
}

type clients struct {
	compute *compute.ClientFactory
	network *network.ClientFactory
}

func connect() (*clients, error) {
	authority, err := os.ReadFile(os.Getenv("ARM_CA"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	url := os.Getenv("ARM_URL")
	shared := azcore.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: url,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Audience: url, Endpoint: url},
			},
		},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &http.Client{Transport: transport, Timeout: time.Minute},
	}
	identity := &azidentity.ClientSecretCredentialOptions{ClientOptions: shared, DisableInstanceDiscovery: true}
	credential, err := azidentity.NewClientSecretCredential(
		os.Getenv("ARM_TENANT"), os.Getenv("ARM_CLIENT"), os.Getenv("ARM_SECRET"), identity)
	if err != nil {
		return nil, err
	}
	options := &arm.ClientOptions{ClientOptions: shared, DisableRPRegistration: true}
	machines, err := compute.NewClientFactory(os.Getenv("ARM_SUBSCRIPTION"), credential, options)
	if err != nil {
		return nil, err
	}
	cards, err := network.NewClientFactory(os.Getenv("ARM_SUBSCRIPTION"), credential, options)
	return &clients{compute: machines, network: cards}, err
}

func live() error {
	to, err := connect()
	if err != nil {
		return err
	}
	steps := []func(*clients) error{makeCard, makeMachine, runCommand, restorePoint, refusals, removeAll}
	for _, step := range steps {
		if err := step(to); err != nil {
			return err
		}
	}
	return nil
}

func makeCard(c *clients) error {
	address, err := done(c.network.NewPublicIPAddressesClient().BeginCreateOrUpdate(ctx, group, "go-ip",
		network.PublicIPAddress{Location: to.Ptr(location)}, nil))
	if err != nil {
		return err
	}
	card, err := done(c.network.NewInterfacesClient().BeginCreateOrUpdate(ctx, group, "go-nic", network.Interface{
		Location: to.Ptr(location),
		Properties: &network.InterfacePropertiesFormat{
			IPConfigurations: []*network.InterfaceIPConfiguration{{
				Name: to.Ptr("main"),
				Properties: &network.InterfaceIPConfigurationPropertiesFormat{
					Subnet:          &network.Subnet{ID: to.Ptr(os.Getenv("ARM_SUBNET"))},
					PublicIPAddress: &network.PublicIPAddress{ID: address.ID},
				},
			}},
		},
	}, nil))
	if err != nil {
		return err
	}
	say("card", map[string]any{
		"state":   card.Properties.ProvisioningState,
		"address": card.Properties.IPConfigurations[0].Properties.PrivateIPAddress,
	})
	return nil
}

func makeMachine(c *clients) error {
	card, err := c.network.NewInterfacesClient().Get(ctx, group, "go-nic", nil)
	if err != nil {
		return err
	}
	key := &compute.SSHPublicKey{Path: to.Ptr("/home/dev/.ssh/authorized_keys"), KeyData: to.Ptr("ssh-ed25519 AAAA dev")}
	vm, err := done(c.compute.NewVirtualMachinesClient().BeginCreateOrUpdate(ctx, group, "go-vm", compute.VirtualMachine{
		Location: to.Ptr(location),
		Tags:     map[string]*string{"by": to.Ptr("go")},
		Properties: &compute.VirtualMachineProperties{
			HardwareProfile: &compute.HardwareProfile{VMSize: to.Ptr(compute.VirtualMachineSizeTypes("Standard_D2s_v5"))},
			StorageProfile: &compute.StorageProfile{
				ImageReference: &compute.ImageReference{
					Publisher: to.Ptr("debian"), Offer: to.Ptr("debian-13"), SKU: to.Ptr("13-gen2"), Version: to.Ptr("latest"),
				},
				OSDisk: &compute.OSDisk{
					Name: to.Ptr("go-disk"), CreateOption: to.Ptr(compute.DiskCreateOptionTypesFromImage),
				},
			},
			OSProfile: &compute.OSProfile{
				ComputerName:  to.Ptr("go-vm"),
				AdminUsername: to.Ptr("dev"),
				LinuxConfiguration: &compute.LinuxConfiguration{
					DisablePasswordAuthentication: to.Ptr(true),
					SSH:                           &compute.SSHConfiguration{PublicKeys: []*compute.SSHPublicKey{key}},
				},
			},
			NetworkProfile: &compute.NetworkProfile{NetworkInterfaces: []*compute.NetworkInterfaceReference{{ID: card.ID}}},
		},
	}, nil))
	if err != nil {
		return err
	}
	found := 0
	pager := c.compute.NewVirtualMachinesClient().NewListPager(group, nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		found += len(page.Value)
	}
	say("machine", map[string]any{
		"state": vm.Properties.ProvisioningState, "tag": vm.Tags["by"], "disk": vm.Properties.StorageProfile.OSDisk.Name,
		"listed": found > 0,
	})
	return nil
}

func runCommand(c *clients) error {
	runs := c.compute.NewVirtualMachineRunCommandsClient()
	_, err := done(runs.BeginCreateOrUpdate(ctx, group, "go-vm", "go-run", compute.VirtualMachineRunCommand{
		Location: to.Ptr(location),
		Properties: &compute.VirtualMachineRunCommandProperties{
			Source:           &compute.VirtualMachineRunCommandScriptSource{Script: to.Ptr("echo hello")},
			TimeoutInSeconds: to.Ptr[int32](120),
		},
	}, nil))
	if err != nil {
		return err
	}
	shown, err := runs.GetByVirtualMachine(ctx, group, "go-vm", "go-run",
		&compute.VirtualMachineRunCommandsClientGetByVirtualMachineOptions{Expand: to.Ptr("instanceView")})
	if err != nil {
		return err
	}
	view := shown.Properties.InstanceView
	say("run", map[string]any{"state": view.ExecutionState, "output": view.Output, "exitCode": view.ExitCode})
	return nil
}

func restorePoint(c *clients) error {
	source := to.Ptr(os.Getenv("ARM_SOURCE"))
	_, err := c.compute.NewRestorePointCollectionsClient().CreateOrUpdate(ctx, group, "go-points",
		compute.RestorePointCollection{
			Location: to.Ptr(location),
			Properties: &compute.RestorePointCollectionProperties{
				Source: &compute.RestorePointCollectionSourceProperties{ID: source},
			},
		}, nil)
	if err != nil {
		return err
	}
	point, err := done(c.compute.NewRestorePointsClient().BeginCreate(ctx, group, "go-points", "go-point",
		compute.RestorePoint{Properties: &compute.RestorePointProperties{
			ConsistencyMode: to.Ptr(compute.ConsistencyModeTypesFileSystemConsistent),
		}}, nil))
	if err != nil {
		return err
	}
	profile := point.Properties.SourceMetadata.StorageProfile
	disk, err := done(c.compute.NewDisksClient().BeginCreateOrUpdate(ctx, group, "go-copy", compute.Disk{
		Location: to.Ptr(location),
		Properties: &compute.DiskProperties{CreationData: &compute.CreationData{
			CreateOption:     to.Ptr(compute.DiskCreateOptionRestore),
			SourceResourceID: profile.OSDisk.DiskRestorePoint.ID,
		}},
	}, nil))
	if err != nil {
		return err
	}
	say("point", map[string]any{
		"mode": point.Properties.ConsistencyMode, "dataDisks": len(profile.DataDisks), "copy": disk.Properties.DiskSizeGB,
	})
	return nil
}

// refusals asks for what must be refused, and prints the code that Microsoft's client reads in the answer.
func refusals(c *clients) error {
	codes := map[string]any{}
	_, err := done(c.network.NewInterfacesClient().BeginDelete(ctx, group, "go-nic", nil))
	codes["card in use"] = code(err)
	_, err = done(c.compute.NewDisksClient().BeginDelete(ctx, group, "go-disk", nil))
	codes["disk in use"] = code(err)
	_, err = c.compute.NewVirtualMachinesClient().Get(ctx, group, "nobody", nil)
	codes["no such machine"] = code(err)
	_, err = done(c.compute.NewVirtualMachinesClient().BeginStart(ctx, group, "go-vm", nil))
	codes["machine that fails late"] = code(err)
	say("refusals", codes)
	return nil
}

func code(err error) string {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		return refused.ErrorCode
	}
	return fmt.Sprint(err)
}

func removeAll(c *clients) error {
	var failed []error
	note := func(err error) { failed = append(failed, err) }
	_, err := done(c.compute.NewVirtualMachinesClient().BeginDelete(ctx, group, "go-vm", nil))
	note(err)
	_, err = done(c.network.NewInterfacesClient().BeginDelete(ctx, group, "go-nic", nil))
	note(err)
	_, err = done(c.network.NewPublicIPAddressesClient().BeginDelete(ctx, group, "go-ip", nil))
	note(err)
	for _, disk := range []string{"go-disk", "go-copy"} {
		_, err = done(c.compute.NewDisksClient().BeginDelete(ctx, group, disk, nil))
		note(err)
	}
	_, err = done(c.compute.NewRestorePointCollectionsClient().BeginDelete(ctx, group, "go-points", nil))
	note(err)
	_, err = done(c.compute.NewDisksClient().BeginDelete(ctx, group, "go-copy", nil))
	note(err) // what is gone already is deleted without a word
	say("removed", map[string]any{})
	return errors.Join(failed...)
}
