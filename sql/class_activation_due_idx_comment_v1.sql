comment on index public.class_activation_due_idx is
  'Of class_activation: a run finds the Scheduled classes that may be due without reading all others.';
