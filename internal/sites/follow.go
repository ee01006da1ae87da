package sites

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/smallfile"
)

const (
	// settle is how long a file is left alone after it was written to: an editor
	// may not be done yet.
	settle = 200 * time.Millisecond

	// lookAgain is how often the settings file is looked at. It is small, and a
	// watch would miss how Kubernetes swaps it.
	lookAgain = 2 * time.Second

	// maxSettings is the size of the largest settings file that is taken.
	maxSettings = 1 << 20

	// readAgain is how often all sites are read again, for file systems that tell
	// nothing, such as NFS.
	readAgain = 10 * time.Minute
)

// follow reads what changes until ctx is done. Of thousands of files in a
// directory, the system tells which one changed, so that one costs what one costs.
func (s *Set[T]) follow(ctx context.Context, watch *fsnotify.Watcher, settingsSeen [sha256.Size]byte) {
	settings, all := time.NewTicker(lookAgain), time.NewTicker(readAgain)
	defer settings.Stop()
	defer all.Stop()
	changed := map[string]bool{} // domains; "" = read all
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-watch.Errors: // such as more changes at a time than the system keeps
			s.log.Debug("watching sites_dir", zap.Error(err))
			changed[""] = true
			due = time.After(settle)
		case event := <-watch.Events:
			if domain, ok := s.concerns(event); ok {
				changed[domain] = true
				due = time.After(settle)
			}
		case <-due:
			due = nil
			if changed[""] {
				_ = s.Reload(ctx) // reported
			} else {
				for domain := range changed {
					s.update(domain)
				}
			}
			clear(changed)
		case <-settings.C:
			if now := s.digest(); now != settingsSeen {
				settingsSeen = now
				s.reload(ctx)
			}
		case <-all.C:
			s.reload(ctx)
		}
	}
}

// reload is Reload where nobody waits for its error.
func (s *Set[T]) reload(ctx context.Context) {
	if err := s.Reload(ctx); err != nil && ctx.Err() == nil {
		s.log.Debug("sites read again", zap.Error(err)) // those of single sites are reported
	}
}

// watch asks the system to tell of changes in sites_dir. Where it does not, or
// there is no such directory, nothing comes of it.
func (s *Set[T]) watch() (told *fsnotify.Watcher, stop func()) {
	dir := s.cfg.Settings.SitesDir
	if dir == "" {
		return &fsnotify.Watcher{}, func() {}
	}
	watch, err := fsnotify.NewWatcher()
	if err == nil {
		stop := func() { _ = watch.Close() } // nobody listens any more
		if err = watch.Add(dir); err == nil {
			return watch, stop
		}
		stop()
	}
	s.log.Warn("sites_dir is not followed at once, but every ten minutes and on SIGHUP", zap.String("path", dir), zap.Error(err),
		zap.String("fix", "Where the error speaks of too many open files or of space, raise fs.inotify.max_user_instances or fs.inotify.max_user_watches (sysctl) and restart; else let the user of wellkey read the directory."))
	return &fsnotify.Watcher{}, func() {}
}

// concerns returns the site that an event is about; "" = it may be about any.
// Kubernetes replaces all files at once, by a link whose name begins with dots.
func (s *Set[T]) concerns(event fsnotify.Event) (domain string, ok bool) {
	name := filepath.Base(event.Name)
	if domain, ok := config.SiteFileDomain(name); ok {
		return domain, event.Op != fsnotify.Chmod
	}
	return "", name == "..data" && event.Op.Has(fsnotify.Create)
}

// digest tells states of the settings file apart. One that cannot be read is a
// state, too.
func (s *Set[T]) digest() [sha256.Size]byte {
	if s.cfg.Settings.File == "" || s.cfg.Load == nil {
		return [sha256.Size]byte{}
	}
	data, err := smallfile.Read(s.cfg.Settings.File, maxSettings)
	if err != nil {
		return sha256.Sum256([]byte(err.Error()))
	}
	return sha256.Sum256(data)
}
