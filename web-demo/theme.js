// Light, dark, or what the system says.  Not a module: it runs before the page is painted, so that
// nobody sees the other colours first.
(() => {
  const KEY = 'wirehub-theme';
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem(KEY) ?? 'auto';
    } catch {
      return 'auto'; // storage may be forbidden
    }
  };

  const apply = (theme) => {
    if (theme === 'auto') delete root.dataset.theme;
    else root.dataset.theme = theme;
  };

  apply(stored());
  document.addEventListener('DOMContentLoaded', () => {
    const chooser = document.getElementById('theme');
    const present = chooser.querySelector(`input[value="${CSS.escape(stored())}"]`);
    if (present) present.checked = true;
    chooser.addEventListener('change', (event) => {
      apply(event.target.value);
      try {
        localStorage.setItem(KEY, event.target.value);
      } catch {
        // then it lasts as long as the page
      }
    });
  });
})();
