package storage_test

import (
	"strings"
	"testing"

	"wellkey/internal/storage"
)

// Lines of mountinfo as engines make them.
const (
	dockerRoot  = "612 480 0:57 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/var/lib/docker/overlay2/x/work\n"
	openwrtRoot = "20 1 0:16 / / rw,noatime - overlay overlayfs:/overlay rw,lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work\n"
	ext4Root    = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
	btrfsRoot   = "30 1 0:30 /var/lib/containers/x / rw - btrfs /dev/sda rw\n"
	named       = "620 612 8:1 /var/lib/docker/volumes/wellkey/_data /data rw,relatime master:1 - ext4 /dev/sda1 rw\n"
	spaced      = `621 612 8:1 /srv/a\040b /my\040data rw - ext4 /dev/sda1 rw` + "\n"
	emptyDir    = "622 612 8:1 /var/lib/kubelet/pods/0/volumes/kubernetes.io~empty-dir/data /data rw - ext4 /dev/sda1 rw\n"
	claim       = "623 612 8:2 / /data rw - ext4 /dev/sdb rw\n"
	overTmpfs   = "624 612 0:60 / /data rw - tmpfs tmpfs rw\n"
	otherMount  = "625 612 8:2 / /database rw - ext4 /dev/sdb rw\n"
)

var anonymous = "626 612 8:1 /var/lib/docker/volumes/" + strings.Repeat("0af9", 16) + "/_data /data rw - ext4 /dev/sda1 rw\n"

func TestEphemeralPlaces(t *testing.T) {
	for name, test := range map[string]struct {
		dir, kind, mounts string
		container, empty  bool
		want              string // in why; "" = it lasts
	}{
		"a container's layer":                  {"/data/state", "overlay", dockerRoot, true, true, "own layer"},
		"a container's layer, used before":     {"/data/state", "overlay", dockerRoot, true, false, "own layer"},
		"a layer of an engine without marks":   {"/data", "overlay", dockerRoot, false, false, "own layer"},
		"a mount beside, of a similar name":    {"/data", "overlay", dockerRoot + otherMount, true, true, "own layer"},
		"beside a volume of a shorter name":    {"/database/state", "overlay", dockerRoot + named, true, true, "own layer"},
		"a named volume, named first":          {"/data/state", "", named + dockerRoot, true, true, ""},
		"a named volume":                       {"/data/state", "", dockerRoot + named, true, true, ""},
		"a path with a space":                  {"/my data/state", "", dockerRoot + spaced, true, true, ""},
		"a volume claim":                       {"/data", "", dockerRoot + claim, true, true, ""},
		"an emptyDir":                          {"/data/state", "", dockerRoot + emptyDir, true, false, "emptyDir"},
		"an anonymous volume, new":             {"/data/state", "", dockerRoot + anonymous, true, true, "without a name"},
		"an anonymous volume, used before":     {"/data/state", "", dockerRoot + anonymous, true, false, ""},
		"tmpfs":                                {"/data", "tmpfs", ext4Root + overTmpfs, false, false, "tmpfs"},
		"tmpfs over a volume":                  {"/data", "", dockerRoot + named + overTmpfs, true, false, "tmpfs"},
		"a volume over tmpfs":                  {"/data", "", dockerRoot + overTmpfs + named, true, false, ""},
		"ramfs, without mountinfo":             {"/data", "ramfs", "", false, false, "ramfs"},
		"a disk":                               {"/var/lib/wellkey", "", ext4Root, false, true, ""},
		"an overlay that stays, new":           {"/data", "overlay", openwrtRoot, false, true, "empty at this start"},
		"an overlay that stays, used before":   {"/data", "overlay", openwrtRoot, false, false, ""},
		"a container without overlay, new":     {"/data", "", btrfsRoot, true, true, "own root file system"},
		"a container without overlay, used":    {"/data", "", btrfsRoot, true, false, ""},
		"mountinfo that is no such thing":      {"/data", "", "nonsense\n1 2 - 3\n\n", true, true, ""},
		"mountinfo that cannot be read at all": {"/data", "", "", true, true, ""},
	} {
		why := storage.EphemeralPlace(test.dir, test.kind, test.mounts, test.container, test.empty)
		if (why == "") != (test.want == "") || !strings.Contains(why, test.want) {
			t.Errorf("%s: got %q, want %q in it", name, why, test.want)
		}
	}
}
